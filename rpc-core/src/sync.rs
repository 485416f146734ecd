//! Locks and atomics: those everybody has, or those of a model checker.
//!
//! With `--cfg netrpc_shuttle` every step that threads could interleave at is in the hands of
//! [shuttle](https://docs.rs/shuttle), which tries many orders, and finds those in which everybody
//! waits. What runs is the code that is shipped and no copy of it; see `tests/models.rs` of `netrpc`.
#![cfg_attr(netrpc_shuttle, allow(missing_docs, missing_debug_implementations))]

#[cfg(not(netrpc_shuttle))]
pub(crate) use std::sync::atomic;

#[cfg(not(netrpc_shuttle))]
pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
#[cfg(netrpc_shuttle)]
pub use shuttle::sync::atomic;

#[cfg(netrpc_shuttle)]
pub use checked::{Mutex, MutexGuard, RwLock};

/// Shuttle's locks with the face of `parking_lot`'s.
#[cfg(netrpc_shuttle)]
mod checked {
    use std::{
        ops::{Deref, DerefMut},
        sync::PoisonError,
    };

    use shuttle::sync;

    #[derive(Debug, Default)]
    pub struct Mutex<T>(sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub const fn new(value: T) -> Self {
            Mutex(sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: self, guard: Some(self.take()) }
        }

        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(MutexGuard { mutex: self, guard: Some(guard) }),
                Err(sync::TryLockError::Poisoned(broken)) => {
                    Some(MutexGuard { mutex: self, guard: Some(broken.into_inner()) })
                }
                Err(sync::TryLockError::WouldBlock) => None,
            }
        }

        fn take(&self) -> sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[derive(Debug)]
    pub struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        /// `None` while it is unlocked.
        guard: Option<sync::MutexGuard<'a, T>>,
    }

    impl<T> MutexGuard<'_, T> {
        pub fn unlocked<U>(s: &mut Self, run: impl FnOnce() -> U) -> U {
            s.guard = None;
            let value = run();
            s.guard = Some(s.mutex.take());
            value
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.guard.as_ref().expect("it is locked")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.guard.as_mut().expect("it is locked")
        }
    }

    #[derive(Debug, Default)]
    pub struct RwLock<T>(sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub const fn new(value: T) -> Self {
            RwLock(sync::RwLock::new(value))
        }

        pub fn read(&self) -> sync::RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
