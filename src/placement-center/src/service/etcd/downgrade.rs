//! `Downgrade`, answered honestly: there is no older version of this program whose data could be written, so no
//! version is a valid target, and no downgrade is ever under way.

use crate::service::Failure;
use protocol::etcdserverpb::downgrade_request::DowngradeAction;
use protocol::etcdserverpb::{DowngradeRequest, DowngradeResponse};

pub(super) fn answer(request: &DowngradeRequest) -> Result<DowngradeResponse, Failure> {
    match DowngradeAction::try_from(request.action) {
        Ok(DowngradeAction::Cancel) => Err(Failure::NoDowngrade),
        Ok(DowngradeAction::Validate | DowngradeAction::Enable) => {
            Err(Failure::Invalid(if is_version(&request.version) {
                "invalid downgrade target version"
            } else {
                "wrong downgrade target version format"
            }))
        }
        Err(_) => Err(Failure::Invalid("unknown downgrade action")),
    }
}

/// Numbers with dots between, the first two at least.
fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    (2..=3).contains(&parts.len()) && parts.iter().all(|part| part.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_version_can_be_gone_back_to() {
        let told = |action: DowngradeAction, version: &str| {
            let request = DowngradeRequest {
                action: action.into(),
                version: version.to_owned(),
            };
            let failure = answer(&request).expect_err("never possible");
            failure.into_etcd_status().message().to_owned()
        };
        for action in [DowngradeAction::Validate, DowngradeAction::Enable] {
            for version in ["3.4", "3.4.0"] {
                let text = "etcdserver: invalid downgrade target version";
                assert_eq!(told(action, version), text);
            }
            for version in ["", "3", "three.four", "3.4.0.0", "3.-4"] {
                let text = "etcdserver: wrong downgrade target version format";
                assert_eq!(told(action, version), text);
            }
        }
        assert_eq!(
            told(DowngradeAction::Cancel, ""),
            "etcdserver: no inflight downgrade job"
        );
    }
}
