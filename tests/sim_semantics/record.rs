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
    /// Calls whose callers crashed.
    pub(crate) orphaned: u64,
}

/// What is promised of a run's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// No handler begins twice for one call.
    pub(crate) begins_once: bool,
    /// No call has its effect twice.
    pub(crate) once: bool,
    /// What was acknowledged is still there at the end, whatever crashed.
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
    /// Handlers that began.
    executions: u32,
    ending: Option<Ending>,
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
}

impl Record {
    pub(crate) fn new(promise: Promise) -> Self {
        let (calls, broken, happened) = (BTreeMap::new(), None, Happened::default());
        let state = State { promise, calls, broken, happened, effects: None };
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
    pub(crate) fn begins(&self) -> Tag {
        let mut state = self.lock();
        state.happened.calls += 1;
        let tag = state.happened.calls;
        state.calls.insert(tag, Call::default());
        tag
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
        assert!(call.ending.replace(ending).is_none(), "a call ends once");
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
        let State { promise, calls, broken, happened, effects: kept } = &mut *state;
        let kept = kept.as_ref();
        if let Some(broken) = broken {
            return Err(broken.clone());
        }
        for (tag, Call { executions, ending }) in calls.iter() {
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
            if *ending == Some(Ending::NotRun) && effects > 0 {
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
    }
}
