//! A node of Raft (Ongaro and Ousterhout, USENIX ATC '14): elections and a replicated log, over netrpc calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::bail;
use netrpc::{
    CallOptions, Client, Reconnect, service,
    sim::{File, Host, Random},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Where nodes listen.
pub(crate) const PORT: u16 = 5000;

const HEARTBEAT: Duration = Duration::from_millis(60);
const ELECTION: std::ops::Range<Duration> = Duration::from_millis(250)..Duration::from_millis(500);

/// What was written: a key and its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// What a node must not forget, whatever happens to it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    term: u64,
    voted_for: Option<usize>,
    /// The first entry is index 1.
    log: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Vote {
    term: u64,
    candidate: usize,
    last_index: usize,
    last_term: u64,
}

#[derive(Serialize, Deserialize)]
struct Append {
    term: u64,
    leader: usize,
    previous_index: usize,
    previous_term: u64,
    entries: Vec<Entry>,
    commit: usize,
}

/// Whether it was granted or taken, in which term; and, if not, from where on it would be.
#[derive(Default, Serialize, Deserialize)]
struct Answer {
    term: u64,
    success: bool,
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Follower,
    Candidate,
    Leader,
}

struct State {
    kept: Kept,
    role: Role,
    commit: usize,
    /// What is committed, applied.
    table: BTreeMap<String, String>,
    applied: usize,
    /// When an election begins, unless a leader is heard of.
    election: Instant,
    /// For each node, the entry to send next and the last that it is known to have.
    next: Vec<usize>,
    matched: Vec<usize>,
    random: Random,
}

/// A node.
pub(crate) struct Node {
    me: usize,
    peers: Vec<Client>,
    file: File,
    state: Mutex<State>,
    /// Told when something was committed, or leadership was lost.
    changed: Notify,
    /// Told of every leader, for the sake of the example.
    leads: Box<dyn Fn(u64, usize) + Send + Sync>,
}

#[service(name = "Raft")]
impl Node {
    fn request_vote(&self, vote: Vote, answer: &mut Answer) {
        let mut state = self.lock();
        self.see(&mut state, vote.term);
        let Kept { term, voted_for, .. } = state.kept;
        let up_to_date = (vote.last_term, vote.last_index) >= state.last();
        answer.term = term;
        answer.success = vote.term == term
            && up_to_date
            && voted_for.is_none_or(|before| before == vote.candidate);
        if answer.success {
            state.kept.voted_for = Some(vote.candidate);
            self.keep(&state);
            state.wait_anew();
        }
    }

    fn append(&self, append: Append, answer: &mut Answer) {
        let mut state = self.lock();
        self.see(&mut state, append.term);
        answer.term = state.kept.term;
        if append.term < state.kept.term {
            return;
        }
        state.role = Role::Follower;
        state.wait_anew();
        let previous = append.previous_index;
        if state.term_at(previous) != Some(append.previous_term) {
            answer.length = state.kept.log.len().min(previous.saturating_sub(1));
            return;
        }
        let end = previous + append.entries.len();
        for (index, entry) in (previous..).zip(append.entries) {
            // A late copy of an earlier message must not cut off what came after it.
            if state.kept.log.get(index) != Some(&entry) {
                state.kept.log.truncate(index);
                state.kept.log.push(entry);
            }
        }
        self.keep(&state);
        state.commit = state.commit.max(append.commit.min(end));
        state.apply();
        (answer.success, answer.length) = (true, end);
    }
}

/// What clients call.
pub(crate) struct Table(pub(crate) Arc<Node>);

#[service]
impl Table {
    /// Ends when the entry is committed, or certainly is not here.
    async fn put(&self, (key, value): (String, String), index: &mut usize) -> anyhow::Result<()> {
        let node = &*self.0;
        let term = {
            let mut state = node.lock();
            if state.role != Role::Leader {
                bail!("node {} is not the leader", node.me);
            }
            let term = state.kept.term;
            state.kept.log.push(Entry { term, key, value });
            node.keep(&state);
            *index = state.kept.log.len();
            term
        };
        loop {
            let changed = node.changed.notified();
            {
                let state = node.lock();
                if state.term_at(*index) != Some(term) {
                    bail!("another leader has put something else there");
                }
                if state.commit >= *index {
                    return Ok(());
                }
            }
            let _ = timeout(HEARTBEAT, changed).await;
        }
    }

    /// What this node has applied, which may be old.
    fn all(&self, _: (), table: &mut BTreeMap<String, String>) {
        table.clone_from(&self.0.lock().table);
    }
}

impl State {
    fn last(&self) -> (u64, usize) {
        let index = self.kept.log.len();
        (self.term_at(index).unwrap_or(0), index)
    }

    fn term_at(&self, index: usize) -> Option<u64> {
        if index == 0 { Some(0) } else { self.kept.log.get(index - 1).map(|entry| entry.term) }
    }

    fn wait_anew(&mut self) {
        self.election = Instant::now() + self.random.time(ELECTION);
    }

    fn apply(&mut self) {
        for entry in &self.kept.log[self.applied..self.commit] {
            self.table.insert(entry.key.clone(), entry.value.clone());
        }
        self.applied = self.commit;
    }
}

impl Node {
    /// Starts where the disk says that it stopped.
    pub(crate) async fn start(
        host: &Host,
        me: usize,
        names: &[&str],
        leads: impl Fn(u64, usize) + Send + Sync + 'static,
    ) -> netrpc::sim::Result<Arc<Self>> {
        let file = host.disk().file("raft");
        let bytes = file.read_all()?;
        let kept = if bytes.is_empty() { Kept::default() } else { serde_json::from_slice(&bytes)? };
        let mut peers = Vec::new();
        for name in names {
            let again = Reconnect::new().lazy(true).max_delay(ELECTION.start).seed(host.seed());
            let options = CallOptions::new().timeout(Duration::from_millis(150));
            let client = Client::builder().reconnect(again).options(options);
            peers.push(client.connect_with(host.connector(name, PORT)).await?);
        }
        let mut state = State {
            kept,
            role: Role::Follower,
            commit: 0,
            table: BTreeMap::new(),
            applied: 0,
            election: Instant::now(),
            next: Vec::new(),
            matched: Vec::new(),
            random: host.random(),
        };
        state.wait_anew();
        let (state, changed, leads) = (Mutex::new(state), Notify::new(), Box::new(leads));
        let node = Arc::new(Node { me, peers, file, state, changed, leads });
        tokio::spawn(node.clone().run());
        Ok(node)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// To be called before anybody is told of what was changed.
    fn keep(&self, state: &State) {
        let bytes = serde_json::to_vec(&state.kept).expect("it can be encoded");
        // A host that has crashed tells nobody anything.
        let _ = self.file.replace(&bytes);
    }

    /// Somebody is in this term.
    fn see(&self, state: &mut State, term: u64) {
        if term > state.kept.term {
            (state.kept.term, state.kept.voted_for) = (term, None);
            state.role = Role::Follower;
            self.keep(state);
            self.changed.notify_waiters();
        }
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.peers.len()).filter(move |other| *other != me)
    }

    async fn run(self: Arc<Self>) {
        loop {
            let (role, election) = {
                let state = self.lock();
                (state.role, state.election)
            };
            if role == Role::Leader {
                self.others().for_each(|other| drop(tokio::spawn(self.clone().replicate(other))));
                sleep(HEARTBEAT).await;
            } else if Instant::now() >= election {
                self.clone().stand();
            } else {
                sleep_until(election).await;
            }
        }
    }

    /// Asks everybody for their votes.
    fn stand(self: Arc<Self>) {
        let mut state = self.lock();
        state.role = Role::Candidate;
        state.kept.term += 1;
        state.kept.voted_for = Some(self.me);
        self.keep(&state);
        state.wait_anew();
        let term = state.kept.term;
        let (last_term, last_index) = state.last();
        let votes = Arc::new(Mutex::new(1));
        for other in self.others() {
            let (node, votes) = (self.clone(), votes.clone());
            tokio::spawn(async move {
                let vote = Vote { term, candidate: node.me, last_index, last_term };
                let call = node.peers[other].call("Raft.RequestVote", &vote);
                let Ok(Answer { term: theirs, success, .. }) = call.await else { return };
                let mut state = node.lock();
                node.see(&mut state, theirs);
                let mut votes = votes.lock().unwrap();
                *votes += usize::from(success);
                let is_mine = state.kept.term == term && state.role == Role::Candidate;
                if is_mine && *votes > node.peers.len() / 2 {
                    node.lead(&mut state);
                }
            });
        }
    }

    fn lead(&self, state: &mut State) {
        state.role = Role::Leader;
        state.next = vec![state.kept.log.len(); self.peers.len()];
        state.matched = vec![0; self.peers.len()];
        (self.leads)(state.kept.term, self.me);
    }

    /// Sends a node what it lacks, or a sign of life.
    async fn replicate(self: Arc<Self>, other: usize) {
        let append = {
            let state = self.lock();
            if state.role != Role::Leader {
                return;
            }
            let previous_index = state.next[other];
            Append {
                term: state.kept.term,
                leader: self.me,
                previous_index,
                previous_term: state.term_at(previous_index).unwrap_or(0),
                entries: state.kept.log[previous_index..].to_vec(),
                commit: state.commit,
            }
        };
        let Ok(answer) = self.peers[other].call::<_, Answer>("Raft.Append", &append).await else {
            return;
        };
        let mut state = self.lock();
        self.see(&mut state, answer.term);
        if state.role != Role::Leader || state.kept.term != append.term {
            return;
        }
        if !answer.success {
            state.next[other] = answer.length;
            return;
        }
        state.matched[other] = state.matched[other].max(answer.length);
        state.next[other] = state.next[other].max(answer.length);
        let mut matched = state.matched.clone();
        matched[self.me] = state.kept.log.len();
        matched.sort_unstable();
        let by_most = matched[(self.peers.len() - 1) / 2];
        // Only what is of this term commits what is before it (section 5.4.2).
        if by_most > state.commit && state.term_at(by_most) == Some(state.kept.term) {
            state.commit = by_most;
            state.apply();
            self.changed.notify_waiters();
        }
    }
}
