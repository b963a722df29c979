//! Administration of the cluster on any member: the members, the leader, where each node stands. What needs
//! the leader is carried out there, whichever member is asked.

mod audit;
mod changes;
mod cluster;
mod error;
mod progress;
mod view;
mod wire;

pub(crate) use audit::audited;
pub use cluster::Cluster;
pub use error::AdminError;
pub use progress::progress;
pub use view::*;

use crate::peer::LinkStatus;
use std::future::Future;
use std::pin::Pin;

/// A boxed answer; administration is rare, its cost does not matter.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, AdminError>> + Send + 'a>>;

/// What administrators may ask of a node. Behind a trait so that REST can be tested without a cluster.
/// Every answer comes within the node's request timeout.
pub trait Admin: Send + Sync + 'static {
    /// All members, with their progress, as the leader sees them.
    fn members(&self) -> Answer<'_, MembersView>;
    /// Adds a learner, which is promoted by itself once it has caught up. Resolves when the change is applied.
    fn add(&self, member: AddMember) -> Answer<'_, MemberView>;
    /// Removes a member; a leader hands over first. Resolves when the change is applied.
    fn remove(&self, member: MemberRef) -> Answer<'_, ()>;
    /// Makes a learner a voter.
    fn promote(&self, member: MemberRef) -> Answer<'_, MemberView>;
    /// Makes a voter a learner, which is not promoted by itself.
    fn demote(&self, member: MemberRef) -> Answer<'_, MemberView>;
    /// Hands leadership over, to the most caught-up voter if none is named; answers the new leader's number.
    fn transfer(&self, to: Option<MemberRef>) -> Answer<'_, u64>;
    /// Whether a member can be restarted now.
    fn check(&self, member: MemberRef) -> Answer<'_, RestartCheck>;
    /// The links of this node to the others, as they are.
    fn links(&self) -> Vec<LinkStatus>;
    /// Where this node stands.
    fn status(&self) -> Answer<'_, NodeStatus>;
    /// Where every member stands; the text says why one did not answer.
    fn status_all(&self) -> Answer<'_, Vec<(MemberView, Result<NodeStatus, String>)>>;
}
