//! Who is there, and does he know the token: the first frames of every connection, on both sides.

use super::frame::{self, CHALLENGE, HELLO, REFUSED, STRANGER_BYTES_MAX, WELCOME};
use super::proof::{NONCE_BYTES, Proof};
use super::settings::{Settings, random};
use prost::Message;
use protocol::placement::internal::v1::peer_hello::Purpose;
use protocol::placement::internal::v1::{
    PeerChallenge, PeerHello, PeerProvenHello, PeerRefused, PeerWelcome,
};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// The version of the protocol that this program speaks.
pub(super) const PROTOCOL: u32 = 1;

/// What a peer says of itself; the token is proved by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The member.
    pub from: u64,
    /// Its data directory.
    pub instance: Vec<u8>,
    /// How often that was started.
    pub incarnation: u64,
    /// Its run.
    pub boot: u64,
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The network, or somebody who does not speak this protocol.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side says no.
    #[error("refused: {0}")]
    ByPeer(String),
    /// This side says no to whoever answered.
    #[error("{0}")]
    ByUs(String),
    /// This side says no to the node that connected, or who says that it is that node.
    #[error("node {from}: {reason}")]
    Visitor {
        /// The node.
        from: u64,
        /// The cluster that it says it belongs to.
        cluster: u64,
        /// Why.
        reason: String,
    },
}

/// Connects in the name of this node. `to` is 0 for whoever answers.
pub(super) async fn connect<S>(
    stream: &mut S,
    settings: &Settings,
    to: u64,
    purpose: Purpose,
) -> Result<(), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let challenge: PeerChallenge = expect(stream, CHALLENGE).await?;
    let nonce = random::<NONCE_BYTES>()?;
    let hello = PeerHello {
        protocol_min: PROTOCOL,
        protocol_max: PROTOCOL,
        cluster_id: settings.cluster_id,
        from: settings.node_id,
        to,
        instance: settings.instance.to_vec().into(),
        incarnation: settings.incarnation,
        boot: settings.boot,
        purpose: purpose.into(),
        nonce: nonce.to_vec().into(),
    };
    let hello = hello.encode_to_vec();
    let proof = Proof::connecting(&challenge.nonce, &hello).make(&settings.token);
    let proven = PeerProvenHello {
        hello: hello.into(),
        proof: proof.into(),
    };
    frame::write(stream, HELLO, &proven).await?;
    let welcome: PeerWelcome = expect(stream, WELCOME).await?;
    let proof = Proof::accepting(&nonce, &proven.hello, welcome.protocol);
    if !proof.holds(&settings.token, &welcome.proof) {
        let reason = "whoever answers there does not know the cluster token";
        return Err(Refused::ByUs(reason.to_owned()));
    }
    if welcome.protocol != PROTOCOL {
        let reason = format!(
            "the member chose version {} of the peer protocol, which was not offered",
            welcome.protocol
        );
        return Err(Refused::ByUs(reason));
    }
    Ok(())
}

/// Accepts a peer; `admit` has the last word on who it is.
pub(super) async fn accept<S>(
    stream: &mut S,
    settings: &Settings,
    admit: impl FnOnce(&Hello) -> Result<(), String>,
) -> Result<(Hello, Purpose), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let challenge = PeerChallenge {
        nonce: random::<NONCE_BYTES>()?.to_vec().into(),
    };
    frame::write(stream, CHALLENGE, &challenge).await?;
    let proven: PeerProvenHello = expect(stream, HELLO).await?;
    let said: PeerHello = frame::decode(proven.hello.clone())?;
    let is_proven =
        Proof::connecting(&challenge.nonce, &proven.hello).holds(&settings.token, &proven.proof);
    let checked = match is_proven {
        true => check(settings, &said),
        // A stranger learns nothing else.
        false => Err("the cluster token is another one".to_owned()),
    };
    let admitted = checked.and_then(|(hello, purpose)| {
        // A node that joins is no member yet.
        if purpose != Purpose::Join {
            admit(&hello)?;
        }
        Ok((hello, purpose))
    });
    match admitted {
        Ok(accepted) => {
            let proof = Proof::accepting(&said.nonce, &proven.hello, PROTOCOL);
            let welcome = PeerWelcome {
                protocol: PROTOCOL,
                proof: proof.make(&settings.token).into(),
            };
            frame::write(stream, WELCOME, &welcome).await?;
            Ok(accepted)
        }
        Err(reason) => {
            let refused = PeerRefused {
                reason: reason.clone(),
            };
            frame::write(stream, REFUSED, &refused).await?;
            Err(Refused::Visitor {
                from: said.from,
                cluster: said.cluster_id,
                reason,
            })
        }
    }
}

fn check(settings: &Settings, said: &PeerHello) -> Result<(Hello, Purpose), String> {
    if said.protocol_min > PROTOCOL || said.protocol_max < PROTOCOL {
        return Err(format!(
            "versions {} to {} of the peer protocol are not spoken here, {PROTOCOL} is",
            said.protocol_min, said.protocol_max
        ));
    }
    let purpose = Purpose::try_from(said.purpose).unwrap_or(Purpose::Unspecified);
    if purpose == Purpose::Unspecified {
        return Err(format!("purpose {} is not known here", said.purpose));
    }
    if purpose != Purpose::Join {
        if said.cluster_id != settings.cluster_id {
            return Err(format!(
                "this is cluster {:016x}, not {:016x}",
                settings.cluster_id, said.cluster_id
            ));
        }
        if said.to != settings.node_id {
            return Err(format!(
                "this is node {}, not {}",
                settings.node_id, said.to
            ));
        }
    }
    if said.from == 0 || said.from == settings.node_id {
        return Err(format!("{} is no number of another node", said.from));
    }
    let hello = Hello {
        from: said.from,
        instance: said.instance.to_vec(),
        incarnation: said.incarnation,
        boot: said.boot,
    };
    Ok((hello, purpose))
}

async fn expect<S, M>(stream: &mut S, kind: u8) -> Result<M, Refused>
where
    S: AsyncRead + Unpin,
    M: prost::Message + Default,
{
    let frame = frame::read(stream, STRANGER_BYTES_MAX).await?;
    let frame = frame.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    if frame.kind == REFUSED {
        let refused: PeerRefused = frame::decode(frame.body)?;
        return Err(Refused::ByPeer(refused.reason));
    }
    if frame.kind != kind {
        return Err(frame::malformed("a frame out of turn").into());
    }
    Ok(frame::decode(frame.body)?)
}
