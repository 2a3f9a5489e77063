//! A flag that long work polls between blocks.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// How long somebody who wants the work to stop may wait to be asked.
const ASK: Duration = Duration::from_millis(20);

/// Set once by whoever wants the work to stop; polled by the work, at least every 20 ms.
#[derive(Debug, Default)]
pub struct Cancel {
    stop: AtomicBool,
    asker: Option<Asker>,
}

impl Cancel {
    /// A flag that nobody has set.
    pub const fn new() -> Self {
        Self { stop: AtomicBool::new(false), asker: None }
    }

    /// The same, and the thread that makes it calls `ask` every 20 ms from where it polls: for work
    /// on the one thread that can tell whether to stop.
    pub fn asking(ask: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let thread = std::thread::current().id();
        let asker =
            Asker { thread, began: Instant::now(), asked: AtomicU64::new(0), ask: Box::new(ask) };
        Self { stop: AtomicBool::new(false), asker: Some(asker) }
    }

    /// Asks the work to stop. Never blocks; may be called from any thread, any number of times.
    pub fn cancel(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// `Err(Error::Cancelled)` once somebody has asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        if self.asker.as_ref().is_some_and(Asker::wants_to_stop) {
            self.cancel();
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}

struct Asker {
    thread: ThreadId,
    began: Instant,
    /// When last, in nanoseconds after `began`; read and written by `thread` alone.
    asked: AtomicU64,
    ask: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Asker {
    fn wants_to_stop(&self) -> bool {
        if std::thread::current().id() != self.thread {
            return false;
        }
        let now = self.began.elapsed().as_nanos() as u64;
        if now - self.asked.load(Ordering::Relaxed) < ASK.as_nanos() as u64 {
            return false;
        }
        self.asked.store(now, Ordering::Relaxed);
        (self.ask)()
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").field("thread", &self.thread).finish_non_exhaustive()
    }
}
