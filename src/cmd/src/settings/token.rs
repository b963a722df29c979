//! The file of the cluster token. What a token looks like is the node's business.

use std::fs::File;
use std::io::Read;

use placement_center::config::{ClusterToken, Invalid};

use super::{Effective, Error};

/// No token is longer; the limit keeps a mistyped path such as /dev/zero from being read for ever.
const FILE_BYTES_MAX: u64 = 4096;

impl Effective {
    /// Reads the token from its file, when there is one.
    pub(super) fn read_token_file(&mut self) -> Result<(), Error> {
        let Some(path) = self.settings.cluster_token_file.clone() else {
            return Ok(());
        };
        let refused = |allowed: String| {
            self.located(Invalid {
                key: "cluster_token_file",
                value: format!("{:?}", path.display().to_string()),
                allowed,
            })
        };
        if self.settings.node.cluster_token.is_set() {
            return Err(refused(
                "cluster_token is set too: give one of them".to_owned(),
            ));
        }
        let mut text = String::new();
        let read =
            File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
        // The reason names no byte of the content.
        read.map_err(|error| refused(format!("cannot read it: {error}")))?;
        let token = ClusterToken::new(text.trim_end_matches(['\n', '\r']))
            .map_err(|allowed| refused(format!("its content is no token: {allowed}")))?;
        if !token.is_set() {
            return Err(refused("it is empty".to_owned()));
        }
        self.settings.node.cluster_token = token;
        Ok(())
    }
}
