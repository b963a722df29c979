//! The administration of a node that has none: every request is refused, nothing happens.

use super::*;

/// Refuses everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unserved;

fn refused<T: Send + 'static>() -> Answer<'static, T> {
    let reason = "this node does not serve the administration of members".to_owned();
    Box::pin(std::future::ready(Err(AdminError::Refused(reason))))
}

impl Admin for Unserved {
    fn members(&self) -> Answer<'_, MembersView> {
        refused()
    }

    fn add(&self, _: AddMember) -> Answer<'_, MemberView> {
        refused()
    }

    fn remove(&self, _: MemberRef) -> Answer<'_, ()> {
        refused()
    }

    fn promote(&self, _: MemberRef) -> Answer<'_, MemberView> {
        refused()
    }

    fn demote(&self, _: MemberRef) -> Answer<'_, MemberView> {
        refused()
    }

    fn transfer(&self, _: Option<MemberRef>) -> Answer<'_, u64> {
        refused()
    }

    fn check(&self, _: MemberRef) -> Answer<'_, RestartCheck> {
        refused()
    }

    fn status(&self) -> Answer<'_, NodeStatus> {
        refused()
    }

    fn status_all(&self) -> Answer<'_, Vec<(MemberView, Result<NodeStatus, String>)>> {
        refused()
    }
}
