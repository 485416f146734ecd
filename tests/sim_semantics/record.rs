//! What really happened, as nobody in the simulation can forget it, and whether it was what is promised.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

/// A call, for ever: what it is called with.
pub(crate) type Tag = u64;

/// How often things happened that the runs are about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Happened {
    pub(crate) calls: u64,
    /// Handlers that began.
    pub(crate) executed: u64,
    /// Calls that ran more than once.
    pub(crate) repeated: u64,
    pub(crate) acknowledged: u64,
    /// Calls that ended without anybody knowing whether they had run.
    pub(crate) unknown: u64,
    /// … and had run.
    pub(crate) unknown_and_ran: u64,
    /// Calls that ended and had not run.
    pub(crate) not_run: u64,
    /// Calls that their callers dropped.
    pub(crate) dropped: u64,
    /// Calls whose callers crashed, and that nobody has heard of since.
    pub(crate) orphaned: u64,
    /// Calls whose outcome was learned by the next life of their caller, from its log.
    pub(crate) recovered: u64,
    /// … and that was not known any more, though the life before had known it.
    pub(crate) doubted: u64,
    /// Calls of a client that another has taken the place of, made after that.
    pub(crate) fenced: u64,
}

/// What is promised of a run's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// No handler begins twice for one call.
    pub(crate) begins_once: bool,
    /// No call has its effect twice.
    pub(crate) once: bool,
    /// What was acknowledged is still there at the end, whatever crashed, and no caller forgets a call that
    /// has run.
    pub(crate) lasts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With the reply.
    Acknowledged,
    /// With an error that says that it has not run.
    NotRun,
    /// With any other.
    Unknown,
    /// Its caller did not wait.
    Dropped,
}

#[derive(Debug, Default)]
struct Call {
    by: &'static str,
    /// Handlers that began.
    executions: u32,
    ending: Option<Ending>,
    /// Two clients have it in their logs.
    is_shared: bool,
    /// It was made by a client whose log another had already.
    is_late: bool,
}

/// What really happened.
#[derive(Clone)]
pub(crate) struct Record(Arc<Mutex<State>>);

struct State {
    promise: Promise,
    calls: BTreeMap<Tag, Call>,
    /// The first promise that was broken.
    broken: Option<String>,
    happened: Happened,
    /// How often each call's effect was to be seen on the server's disk, when it was last looked at.
    effects: Option<BTreeMap<Tag, u64>>,
    /// A client whose log another has.
    copied: Option<&'static str>,
}

impl Record {
    pub(crate) fn new(promise: Promise) -> Self {
        let (calls, broken, happened) = (BTreeMap::new(), None, Happened::default());
        let state = State { promise, calls, broken, happened, effects: None, copied: None };
        Record(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }

    /// A promise is broken; the run goes on, so that the first is what is told.
    pub(crate) fn broken(&self, text: String) {
        self.lock().broken.get_or_insert(text);
    }

    /// Another call is made.
    pub(crate) fn begins(&self, by: &'static str) -> Tag {
        let mut state = self.lock();
        state.happened.calls += 1;
        let tag = state.happened.calls;
        let is_late = state.copied == Some(by);
        state.happened.fenced += u64::from(is_late);
        state.calls.insert(tag, Call { by, is_late, ..Call::default() });
        tag
    }

    /// Another client has a client's log, from now on.
    pub(crate) fn copied(&self, client: &'static str) {
        let mut state = self.lock();
        state.copied = Some(client);
        for call in state.calls.values_mut() {
            call.is_shared = call.by == client;
        }
    }

    pub(crate) fn is_copied(&self) -> bool {
        self.lock().copied.is_some()
    }

    /// Whether a call was made by a client whose log another had already.
    pub(crate) fn is_late(&self, tag: Tag) -> bool {
        self.lock().calls.get(&tag).is_some_and(|call| call.is_late)
    }

    /// A call's outcome was learned from its caller's log.
    pub(crate) fn recovers(&self, tag: Tag, ending: Ending) {
        let mut state = self.lock();
        state.happened.recovered += 1;
        let Some(call) = state.calls.get_mut(&tag) else {
            state.broken.get_or_insert(format!("call {tag}, which nobody made, is in a log"));
            return;
        };
        let before = *call.ending.get_or_insert(ending);
        if call.is_shared {
            // Either may be told first.
            call.ending = Some(if before == Ending::Acknowledged { before } else { ending });
        } else if before == Ending::Acknowledged && ending == Ending::Unknown {
            state.happened.doubted += 1;
        } else if before == Ending::Acknowledged && ending != Ending::Acknowledged {
            let text = format!("call {tag} was acknowledged, and after a crash it is {ending:?}");
            state.broken.get_or_insert(text);
        }
    }

    /// A handler begins.
    pub(crate) fn runs(&self, tag: Tag) {
        let mut state = self.lock();
        state.happened.executed += 1;
        let once = state.promise.begins_once;
        let Some(call) = state.calls.get_mut(&tag) else {
            state.broken.get_or_insert(format!("call {tag}, which nobody made, runs"));
            return;
        };
        call.executions += 1;
        let broken = match (call.executions, call.ending) {
            (2.., _) if once => Some(format!("call {tag} runs twice")),
            (_, Some(Ending::NotRun)) if once => {
                Some(format!("call {tag} runs after its caller was told that it has not"))
            }
            _ => None,
        };
        if call.executions == 2 {
            state.happened.repeated += 1;
        }
        if let Some(broken) = broken {
            state.broken.get_or_insert(broken);
        }
    }

    /// A call has ended, as its caller sees it.
    pub(crate) fn ends(&self, tag: Tag, ending: Ending) {
        let mut state = self.lock();
        let begins_once = state.promise.begins_once;
        let call = state.calls.get_mut(&tag).expect("it was made");
        let before = call.ending.replace(ending);
        assert!(before.is_none() || call.is_shared, "a call ends once");
        if call.is_shared {
            call.ending = before.filter(|it| *it == Ending::Acknowledged).or(Some(ending));
        }
        let broken = match (ending, call.executions) {
            (Ending::Acknowledged, 0) => Some(format!("call {tag} was answered and has not run")),
            (Ending::NotRun, 1..) if begins_once => {
                Some(format!("call {tag} has run, and its caller is told not"))
            }
            _ => None,
        };
        if let Some(broken) = broken {
            state.broken.get_or_insert(broken);
        }
    }

    /// What is to be seen on the server's disk, when that is started.
    pub(crate) fn finds(&self, effects: BTreeMap<Tag, u64>) {
        let mut state = self.lock();
        let gone = state.calls.iter().find(|(tag, call)| {
            call.ending == Some(Ending::Acknowledged) && !effects.contains_key(tag)
        });
        if let Some(tag) = gone.map(|(tag, _)| *tag) {
            state
                .broken
                .get_or_insert(format!("call {tag} was acknowledged, and a crash undoes it"));
        }
        state.effects = Some(effects);
    }

    /// The end of a run.
    ///
    /// # Errors
    /// What was promised and is not so.
    pub(crate) fn judge(&self) -> Result<Happened, String> {
        let mut state = self.lock();
        let State { promise, calls, broken, happened, effects: kept, .. } = &mut *state;
        let kept = kept.as_ref();
        if let Some(broken) = broken {
            return Err(broken.clone());
        }
        for (tag, Call { executions, ending, is_shared, .. }) in calls.iter() {
            let executions = u64::from(*executions);
            let effects = kept.map_or(executions, |kept| kept.get(tag).copied().unwrap_or(0));
            match ending {
                Some(Ending::Acknowledged) => {
                    happened.acknowledged += 1;
                    if effects == 0 && promise.lasts {
                        return Err(format!("call {tag} was acknowledged, and its effect is gone"));
                    }
                }
                Some(Ending::NotRun) => happened.not_run += 1,
                Some(Ending::Unknown) => {
                    happened.unknown += 1;
                    happened.unknown_and_ran += u64::from(executions > 0);
                }
                Some(Ending::Dropped) => happened.dropped += 1,
                None => happened.orphaned += 1,
            }
            if effects > 1 && promise.once {
                return Err(format!("call {tag} has had its effect {effects} times"));
            }
            if ending.is_none() && effects > 0 && promise.lasts {
                return Err(format!("call {tag} has run, and its caller has forgotten it"));
            }
            if *ending == Some(Ending::NotRun) && effects > 0 && !is_shared {
                return Err(format!("call {tag} has had its effect, and its caller was told not"));
            }
        }
        let counter: u64 = match kept {
            Some(kept) => kept.values().sum(),
            None => happened.executed,
        };
        let Happened { acknowledged, unknown, dropped, orphaned, .. } = *happened;
        let most = acknowledged + unknown + dropped + orphaned;
        if promise.lasts && counter < acknowledged {
            return Err(format!(
                "{acknowledged} were acknowledged, and the counter is at {counter}"
            ));
        }
        if promise.once && counter > most {
            return Err(format!("at most {most} may have run, and the counter is at {counter}"));
        }
        Ok(*happened)
    }
}

impl std::ops::AddAssign for Happened {
    fn add_assign(&mut self, more: Happened) {
        self.calls += more.calls;
        self.executed += more.executed;
        self.repeated += more.repeated;
        self.acknowledged += more.acknowledged;
        self.unknown += more.unknown;
        self.unknown_and_ran += more.unknown_and_ran;
        self.not_run += more.not_run;
        self.dropped += more.dropped;
        self.orphaned += more.orphaned;
        self.recovered += more.recovered;
        self.doubted += more.doubted;
        self.fenced += more.fenced;
    }
}
