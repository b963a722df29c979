//! A cluster of real server processes on this machine, and what a test does to it.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::network::Network;
use crate::process::Signal;
use crate::server::{Kind, Options, Server};
use crate::settings::{Member, Origin};
use crate::{binary, ports, wait};

/// The secret that all members of a test share.
pub const TOKEN: &str = "a-token-for-tests-only";

/// Longest a question to a member may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What kind of cluster.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Founding members, numbered from 1.
    pub size: u64,
    /// Whether members reach each other through proxies that a test can break.
    pub with_network: bool,
    /// Further lines of every member's configuration.
    pub config: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            size: 3,
            with_network: false,
            config: String::new(),
        }
    }
}

/// Where one member stands, by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it thinks that it leads.
    pub leads: bool,
    /// Its term.
    pub term: u64,
    /// The leader it knows.
    pub leader: Option<u64>,
    /// The first entry of its log.
    pub first: u64,
    /// The last entry it has applied.
    pub applied: u64,
}

/// Running members. Dropping it kills them and removes their data.
#[derive(Debug)]
pub struct Cluster {
    // Before the folder and the network: processes go first.
    members: BTreeMap<u64, Server>,
    network: Option<Network>,
    plan: Plan,
    folder: TempDir,
    agent: ureq::Agent,
}

impl Cluster {
    /// Three members that reach each other directly.
    pub fn three() -> Result<Self> {
        Self::start(Plan::default())
    }

    /// Three members behind a network that can be broken.
    pub fn three_with_network() -> Result<Self> {
        Self::start(Plan {
            with_network: true,
            ..Plan::default()
        })
    }

    /// Starts all founders and waits until all of them serve.
    pub fn start(plan: Plan) -> Result<Self> {
        let ids = 1..=plan.size;
        let folder = TempDir::new_in(binary::scratch()?).context("make a folder for a cluster")?;
        let network = match plan.with_network {
            true => Some(Network::new(ids.clone())?),
            false => None,
        };
        let mut chosen = BTreeMap::new();
        for id in ids.clone() {
            chosen.insert(id, ports::free(Kind::Center)?);
        }
        let founders = match &network {
            Some(network) => network.addresses().clone(),
            None => {
                let own =
                    |(id, ports): (&u64, &ports::Ports)| (*id, format!("127.0.0.1:{}", ports.peer));
                chosen.iter().map(own).collect()
            }
        };
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(ASK_TIMEOUT))
            // What a refusal says is worth more than its number.
            .http_status_as_error(false)
            .build()
            .into();
        let mut cluster = Self {
            members: BTreeMap::new(),
            network,
            plan,
            folder,
            agent,
        };
        for (id, ports) in chosen {
            let options = cluster.options(id, Origin::Founder(founders.clone()))?;
            let server = Server::begin_on(Kind::Center, options, ports)?;
            cluster.members.insert(id, server);
            cluster.register(id)?;
        }
        for id in ids {
            cluster.ready(id)?;
        }
        Ok(cluster)
    }

    fn options(&self, id: u64, origin: Origin) -> Result<Options> {
        let folder = self.folder.path().join(format!("node{id}"));
        std::fs::create_dir_all(&folder).context("make a member's folder")?;
        let peer_address = match (&self.network, &origin) {
            (Some(network), Origin::Joiner(_)) => network.addresses().get(&id).cloned(),
            // A founder is reached where the list of founders says.
            _ => None,
        };
        Ok(Options {
            folder: Some(folder),
            config: self.plan.config.clone(),
            member: Some(Member {
                node_id: id,
                token: TOKEN.to_owned(),
                peer_address,
                origin,
            }),
        })
    }

    fn register(&self, id: u64) -> Result<()> {
        if let Some(network) = &self.network {
            let server = self.member(id)?;
            network.register(id, server.pid(), server.peer_port());
        }
        Ok(())
    }

    /// The numbers of all members that were ever started here.
    pub fn ids(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }

    /// The numbers of all but one.
    pub fn others(&self, id: u64) -> Vec<u64> {
        let ids = self.members.keys().copied();
        ids.filter(|other| *other != id).collect()
    }

    /// One member.
    pub fn member(&self, id: u64) -> Result<&Server> {
        self.members
            .get(&id)
            .with_context(|| format!("there is no member {id}"))
    }

    /// One member, for signals.
    pub fn member_mut(&mut self, id: u64) -> Result<&mut Server> {
        self.members
            .get_mut(&id)
            .with_context(|| format!("there is no member {id}"))
    }

    /// `http://host:port` of a member's gRPC listener.
    pub fn url(&self, id: u64) -> Result<String> {
        Ok(self.member(id)?.url())
    }

    /// The gRPC listeners of all members.
    pub fn urls(&self) -> Vec<String> {
        self.members.values().map(Server::url).collect()
    }

    /// The network between the members.
    pub fn network(&self) -> Result<&Network> {
        self.network
            .as_ref()
            .context("this cluster has no network to break")
    }

    /// Kills a member as `kill -9` does.
    pub fn kill(&mut self, id: u64) -> Result<()> {
        self.member_mut(id)?.kill()
    }

    /// Asks a member to stop and waits for that.
    pub fn stop(&mut self, id: u64) -> Result<ExitStatus> {
        self.member_mut(id)?.stop()
    }

    /// Stops a member where it is, as a machine that hangs.
    pub fn pause(&mut self, id: u64) -> Result<()> {
        self.member_mut(id)?.process().signal(Signal::Pause)
    }

    /// Lets a paused member go on.
    pub fn resume(&mut self, id: u64) -> Result<()> {
        self.member_mut(id)?.process().signal(Signal::Resume)
    }

    /// Starts an ended member again, and answers how long it took until it served.
    pub fn restart(&mut self, id: u64) -> Result<Duration> {
        let begin = Instant::now();
        self.respawn(id)?;
        self.ready(id)?;
        Ok(begin.elapsed())
    }

    /// Starts an ended member again without waiting for it.
    pub fn respawn(&mut self, id: u64) -> Result<()> {
        self.member_mut(id)?.respawn()?;
        self.register(id)
    }

    /// Waits until a member serves.
    pub fn ready(&mut self, id: u64) -> Result<()> {
        let what = || format!("member {id}");
        self.member_mut(id)?.ready().with_context(what)
    }

    /// Starts a new member that joins by the member `by`, and does not wait for it.
    pub fn begin_joining(&mut self, id: u64, by: u64) -> Result<()> {
        ensure!(!self.members.contains_key(&id), "{id} is taken");
        let address = match &mut self.network {
            Some(network) => {
                network.add(id)?;
                network.addresses().get(&by).cloned()
            }
            None => Some(format!("127.0.0.1:{}", self.member(by)?.peer_port())),
        };
        let address = address.with_context(|| format!("there is no member {by}"))?;
        let options = self.options(id, Origin::Joiner(vec![address]))?;
        let server = Server::begin(Kind::Center, options)?;
        self.members.insert(id, server);
        self.register(id)
    }

    /// Adds a member by `--join` of the member `by`, and waits until it serves.
    pub fn join(&mut self, id: u64, by: u64) -> Result<()> {
        self.begin_joining(id, by)?;
        self.ready(id)
    }

    /// Where a running member stands; an error if it does not say.
    pub fn standing(&self, id: u64) -> Result<Standing> {
        let status = self.ask(id, "/v1/status")?;
        let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
        Ok(Standing {
            leads: text("role") == "leader",
            term: status["term"].as_u64().context("a term")?,
            leader: status["leader"].as_u64().filter(|leader| *leader != 0),
            first: status["index"]["first"].as_u64().context("an index")?,
            applied: status["index"]["applied"].as_u64().context("an index")?,
        })
    }

    /// The JSON at a path of a member's HTTP API.
    pub fn ask(&self, id: u64, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.member(id)?.http_url());
        let mut answer = self.agent.get(&url).call().with_context(|| url.clone())?;
        let text = answer.body_mut().read_to_string()?;
        let status = answer.status();
        ensure!(status.is_success(), "{url}: {status}, {text}");
        serde_json::from_str(&text).with_context(|| format!("{url} answers {text:?}"))
    }

    /// Removes a member from the cluster, by asking another one, and waits until its process ends by itself.
    pub fn remove(&mut self, id: u64, by: u64, deadline: Duration) -> Result<()> {
        let url = format!("{}/v1/members/{id}", self.member(by)?.http_url());
        let removed = wait::until(&format!("the removal of {id}"), deadline, || {
            let answer = self.agent.delete(&url).call();
            match answer.map(|mut answer| (answer.status(), answer.body_mut().read_to_string())) {
                // Another change is under way, perhaps one that the cluster made by itself.
                Ok((_, Ok(text))) if text.contains("change_pending") => None,
                Ok((status, Ok(text))) => Some(match status.is_success() {
                    true => Ok(()),
                    false => Err(anyhow!("{status}: {text}")),
                }),
                Ok((_, Err(error))) | Err(error) => Some(Err(error.into())),
            }
        });
        removed?.with_context(|| url.clone())?;
        let status = self.member_mut(id)?.process().wait(deadline)?;
        ensure!(!status.success(), "a removed member ends with {status}");
        self.members.remove(&id);
        Ok(())
    }

    /// The leader that it and a majority of all members agree on, as soon as there is one.
    pub fn leader(&self, deadline: Duration) -> Result<u64> {
        self.leader_among(&self.ids(), deadline)
    }

    /// The leader that a majority of all members follows, asking only some of them.
    pub fn leader_among(&self, asked: &[u64], deadline: Duration) -> Result<u64> {
        let majority = self.members.len() / 2 + 1;
        let mut seen = Vec::new();
        let found = wait::until("a leader", deadline, || {
            let answers = asked.iter().map(|id| (*id, self.standing(*id)));
            seen = answers.collect();
            let known = seen
                .iter()
                .filter_map(|(id, found)| Some((*id, found.as_ref().ok()?)));
            let known: Vec<(u64, &Standing)> = known.collect();
            let leading = known.iter().filter(|(_, standing)| standing.leads);
            let (leader, newest) = leading.max_by_key(|(_, standing)| standing.term)?;
            let agree = |standing: &Standing| {
                standing.leader == Some(*leader) && standing.term == newest.term
            };
            let followers = known.iter().filter(|(_, standing)| agree(standing)).count();
            (followers >= majority).then_some(*leader)
        });
        found.with_context(|| format!("{seen:?}"))
    }

    /// Waits until some members have applied the same entries, and checks that these made the same state. The
    /// load must have ended. Answers the applied index and the hash.
    pub fn converged(&self, ids: &[u64], deadline: Duration) -> Result<(u64, String)> {
        let mut seen = Vec::new();
        let found = wait::until("the same applied index everywhere", deadline, || {
            seen = self.applied(ids).ok()?;
            let (index, _) = seen.first()?;
            seen.iter().all(|(other, _)| other == index).then_some(())
        });
        found.with_context(|| format!("{seen:?}"))?;
        let first = seen.first().context("no member to compare")?.clone();
        ensure!(
            !first.1.is_empty(),
            "members do not tell the hash of their state"
        );
        let same = seen.iter().all(|standing| *standing == first);
        ensure!(same, "members differ at the same index: {seen:?}");
        Ok(first)
    }

    /// The applied index of some members and the hash of what they have applied, by what they tell one of
    /// them.
    fn applied(&self, ids: &[u64]) -> Result<Vec<(u64, String)>> {
        let asked = ids.first().context("no member to ask")?;
        let all = self.ask(*asked, "/v1/status?all=true")?;
        let members = all["members"].as_array().context("a list of members")?;
        let one = |id: &u64| {
            let its = |entry: &&Value| entry["status"]["node_id"].as_u64() == Some(*id);
            let entry = members.iter().find(its)?;
            let status = &entry["status"];
            let index = status["applied_index"].as_u64()?;
            Some((index, status["chain_hash"].as_str()?.to_owned()))
        };
        let found: Option<Vec<_>> = ids.iter().map(one).collect();
        found.with_context(|| format!("not all of {ids:?} answer: {all}"))
    }
}
