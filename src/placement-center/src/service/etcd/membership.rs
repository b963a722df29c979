//! Changes of membership in etcd's words. What may change and how is `admin`'s business; here peer URLs become
//! the one address that a member has, and its refusals become etcd's.

use crate::admin::{AddMember, AdminError, MemberRef, MemberRole, MemberView, audited};
use crate::machine::{self, Reply};
use crate::members::Updated;
use crate::service::{Context, Deadline, Failure, Outcome};
use protocol::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberPromoteRequest, MemberPromoteResponse,
    MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
};
use protocol::placement::internal::v1::MemberUpdate;
use std::time::Duration;

/// Pause before a change that found another one under way tries again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl Context {
    /// Adds a learner under a number that the leader chooses. It becomes a voter by itself, unless the client
    /// asked for a learner.
    pub(super) async fn member_add(
        &self,
        request: MemberAddRequest,
        deadline: Deadline,
    ) -> Result<MemberAddResponse, Failure> {
        let peer_address = peer_address(&request.peer_ur_ls)?;
        let what = format!("add a member at {peer_address}");
        let member = AddMember {
            id: 0,
            alias: String::new(),
            peer_address,
            stays_learner: request.is_learner,
        };
        let add = || self.admin.add(member.clone());
        let added = audited(&what, self.one_at_a_time(deadline, add).await)?;
        Ok(MemberAddResponse {
            header: Some(self.header(0)),
            member: Some(shown(added)),
            members: self.members_now(deadline).await?,
        })
    }

    /// Removes a member for good.
    pub(super) async fn member_remove(
        &self,
        request: MemberRemoveRequest,
        deadline: Deadline,
    ) -> Result<MemberRemoveResponse, Failure> {
        let what = format!("remove member {}", request.id);
        let remove = || self.admin.remove(MemberRef::Id(request.id));
        audited(&what, self.one_at_a_time(deadline, remove).await)?;
        Ok(MemberRemoveResponse {
            header: Some(self.header(0)),
            members: self.members_now(deadline).await?,
        })
    }

    /// Makes a learner a voter now.
    pub(super) async fn member_promote(
        &self,
        request: MemberPromoteRequest,
        deadline: Deadline,
    ) -> Result<MemberPromoteResponse, Failure> {
        let what = format!("promote member {}", request.id);
        let promote = || self.admin.promote(MemberRef::Id(request.id));
        audited(&what, self.one_at_a_time(deadline, promote).await)?;
        Ok(MemberPromoteResponse {
            header: Some(self.header(0)),
            members: self.members_now(deadline).await?,
        })
    }

    /// Tells the others where a member is reached.
    pub(super) async fn member_update(
        &self,
        request: MemberUpdateRequest,
        deadline: Deadline,
    ) -> Result<MemberUpdateResponse, Failure> {
        let address = peer_address(&request.peer_ur_ls)?;
        let what = format!("member {} is reached at {address}", request.id);
        let update = machine::encode_update_member(MemberUpdate {
            id: request.id,
            peer_address: address.clone(),
        });
        let Reply::UpdateMember(updated) = self.write(update, deadline).await? else {
            return Err(Failure::Broken);
        };
        let updated = match updated {
            Updated::Done => Ok(()),
            Updated::NoSuchMember => Err(AdminError::NotFound(MemberRef::Id(request.id))),
            Updated::AddressTaken => Err(AdminError::AddressTaken { address, id: 0 }),
            Updated::BadAddress | Updated::Unspecified => Err(AdminError::BadAddress(address)),
        };
        audited(&what, updated)?;
        Ok(MemberUpdateResponse {
            header: Some(self.header(0)),
            members: self.members_now(deadline).await?,
        })
    }

    /// What `change` answers, once no other change is under way. A client of etcd expects changes to wait for
    /// each other.
    async fn one_at_a_time<T, F>(
        &self,
        deadline: Deadline,
        mut change: impl FnMut() -> F,
    ) -> Result<T, AdminError>
    where
        F: Future<Output = Result<T, AdminError>>,
    {
        let changing = async {
            loop {
                match change().await {
                    Err(AdminError::Busy) => tokio::time::sleep(RETRY_PAUSE).await,
                    ended => return ended,
                }
            }
        };
        let changed = deadline.within(&self.cut, changing).await;
        changed.unwrap_or_else(|_| Err(AdminError::Unknown("it takes too long".to_owned())))
    }

    /// The members as the leader sees them: this one may not have heard of the change yet.
    async fn members_now(&self, deadline: Deadline) -> Result<Vec<Member>, Failure> {
        let view = deadline.within(&self.cut, self.admin.members()).await;
        // The change was made, whatever becomes of the question who the members are now.
        let view = view.map_err(|_| Failure::TimedOut(Outcome::Unknown))??;
        Ok(view.members.into_iter().map(shown).collect())
    }
}

/// The address in the one URL that a member here can have.
fn peer_address(urls: &[String]) -> Result<String, Failure> {
    let invalid = |why: &str| Failure::Admin(AdminError::BadAddress(why.to_owned()));
    let [url] = urls else {
        return Err(invalid("a member has exactly one peer URL"));
    };
    let schemes = ["http://", "https://"];
    let address = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
    let address = address.ok_or_else(|| invalid("a peer URL starts with http:// or https://"))?;
    crate::config::check_reachable(address).map_err(invalid)?;
    Ok(address.to_owned())
}

fn shown(view: MemberView) -> Member {
    Member {
        id: view.id,
        name: view.alias,
        peer_ur_ls: vec![format!("http://{}", view.peer_address)],
        client_ur_ls: view.client_urls,
        is_learner: view.role == MemberRole::Learner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_url_is_an_address_and_nothing_else() {
        let read = |urls: &[&str]| {
            let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
            peer_address(&urls)
        };
        assert_eq!(read(&["http://a:1"]).expect("good"), "a:1");
        assert_eq!(read(&["https://[::1]:2380"]).expect("good"), "[::1]:2380");
        let wrong: [&[&str]; 10] = [
            &[],
            &["http://a:1", "http://b:1"],
            &["a:1"],
            &["unix://a:1"],
            &["http://a"],
            &["http://a:1/path"],
            &["http://a:99999"],
            &["http://"],
            &["http://0.0.0.0:1"],
            &[""],
        ];
        for urls in wrong {
            let refused = read(urls).expect_err(&format!("{urls:?}"));
            assert!(matches!(refused, Failure::Admin(AdminError::BadAddress(_))));
        }
    }
}
