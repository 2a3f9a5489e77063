//! A flag that long work polls between blocks.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Set once by whoever wants the work to stop; polled by the work, at least every 20 ms.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// A flag that nobody has set.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks the work to stop. Never blocks; may be called from any thread, any number of times.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// `Err(Error::Cancelled)` once somebody has asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}
