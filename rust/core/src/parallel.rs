//! The only file that names rayon: pools of a stated size, remade after `fork`.
//!
//! A forked child inherits a pool whose threads no longer exist, and waiting for them never ends.
//! So a pool belongs to one process id, is never dropped (its threads may not be there to be joined),
//! and a child makes its own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rayon::Yield;

use crate::{Cancel, Error, Result};

/// How long a caller that waits for others leaves `cancel` unseen.
const POLL: Duration = Duration::from_millis(10);

/// How long a worker stays awake for the next call, and how long a caller whose own share is done
/// watches the others end theirs. To wake a thread takes longer than many a search.
const AWAKE: Duration = Duration::from_micros(200);

/// How many threads a call may use. Built once from the caller's argument, then passed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// One thread: the caller's own; no pool is made.
    pub const ONE: Self = Self(NonZeroUsize::MIN);

    /// `n` threads; 0 is refused, and so is more than 1,024.
    pub fn new(n: usize) -> Result<Self> {
        match NonZeroUsize::new(n) {
            Some(n) if n.get() <= 1024 => Ok(Self(n)),
            _ => Err(Error::range("threads", "1 to 1024", n)),
        }
    }

    /// The one number that tokenizer, index and ONNX Runtime share: `asked`, else the environment
    /// variable `MAGNETITE_NUM_THREADS`, else the CPUs that affinity and cgroup leave this process.
    pub fn resolve(asked: Option<usize>) -> Result<Self> {
        if let Some(said) = Self::said(asked)? {
            return Ok(said);
        }
        Self::new(thread::available_parallelism().map_or(1, NonZeroUsize::get).min(1024))
    }

    /// The same but `None` where only the CPUs would say: counting them takes longer than a small search.
    pub fn said(asked: Option<usize>) -> Result<Option<Self>> {
        if let Some(n) = asked {
            return Self::new(n).map(Some);
        }
        let Ok(text) = std::env::var("MAGNETITE_NUM_THREADS") else { return Ok(None) };
        let want = "a whole number from 1 to 1024";
        let n =
            text.trim().parse().map_err(|_| Error::range("MAGNETITE_NUM_THREADS", want, &text))?;
        Self::new(n).map(Some)
    }

    /// The same, but one thread for `little` work where only the CPUs would say.
    pub fn resolve_unless(little: bool, asked: Option<usize>) -> Result<Self> {
        match Self::said(asked)? {
            Some(said) => Ok(said),
            None if little => Ok(Self::ONE),
            None => Self::resolve(None),
        }
    }

    /// One thread for `little` work, whatever was asked for; else as `resolve`.
    pub fn resolve_but_for(little: bool, asked: Option<usize>) -> Result<Self> {
        if little { Self::said(asked).map(|_| Self::ONE) } else { Self::resolve(asked) }
    }

    /// The number.
    pub fn get(self) -> usize {
        self.0.get()
    }

    /// Results of `work` over `0..n` cut into blocks of `block` items, in block order.
    ///
    /// The cut depends on `n` and `block` alone, so results merged in this order are the same for
    /// any number of threads. `cancel` is polled before each block.
    pub fn blocks<T, F>(self, n: usize, block: usize, cancel: &Cancel, work: F) -> Result<Vec<T>>
    where
        T: Send,
        F: Fn(Range<usize>) -> Result<T> + Sync,
    {
        assert!(block > 0, "a block holds at least one item");
        let one = |i: usize| {
            cancel.check()?;
            work(i * block..((i + 1) * block).min(n))
        };
        let count = n.div_ceil(block);
        self.work_off(count, cancel, |taken| taken.map(|i| Ok((i, one(i)?))).collect())
    }

    /// Results of the items of `blocks`, in order of the items: each thread does all its blocks in one
    /// call of `work`, which takes them off what it is given and may begin one before it is done with
    /// the last. `work` gives each item's number and result, and polls `cancel`.
    pub fn streams<T, F>(self, blocks: &[Range<usize>], cancel: &Cancel, work: F) -> Result<Vec<T>>
    where
        T: Send,
        F: Fn(&mut dyn Iterator<Item = Range<usize>>) -> Result<Vec<(usize, T)>> + Sync,
    {
        self.work_off(blocks.len(), cancel, |taken| work(&mut taken.map(|i| blocks[i].clone())))
    }

    /// What `work` makes of the numbers `0..count`, which each thread takes from the iterator that it
    /// gets: results in order of the numbers that come with them, or an error among them.
    ///
    /// The caller works too: a call over in a millisecond does not wait for others to wake up.
    fn work_off<T: Send>(
        self,
        count: usize,
        cancel: &Cancel,
        work: impl Fn(&mut dyn Iterator<Item = usize>) -> Result<Vec<(usize, T)>> + Sync,
    ) -> Result<Vec<T>> {
        let results = |done: Vec<(usize, T)>| done.into_iter().map(|(_, result)| result).collect();
        if self == Self::ONE || count <= 1 {
            return work(&mut (0..count)).map(results);
        }
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Ok(Vec::new())));
        let take = || {
            let i = next.fetch_add(1, Ordering::Relaxed);
            (i < count).then_some(i)
        };
        self.beside(count, cancel, || {
            let own = work(&mut std::iter::from_fn(take));
            if own.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            let mut done = locked(&done);
            match (&mut *done, own) {
                (Ok(done), Ok(mut own)) => done.append(&mut own),
                (Ok(_), Err(error)) => *done = Err(error),
                (Err(_), _) => {}
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        // Runs that are in order already.
        done.sort_by_key(|(i, _)| *i);
        Ok(results(done))
    }

    /// Runs `work` on the calling thread and on as many others as `count` blocks keep busy.
    fn beside(self, count: usize, cancel: &Cancel, work: impl Fn() + Sync) {
        let others = self.get().min(count) - 1;
        let shares = Shares { open: AtomicUsize::new(others), caller: thread::current() };
        pool(self.0).in_place_scope(|scope| {
            for _ in 0..others {
                scope.spawn(|_| {
                    let _share = Share(&shares);
                    work();
                    stay_awake();
                });
            }
            work();
            shares.wait(cancel);
        });
    }

    /// `one` of each of the `items`.
    fn each<I: ExactSizeIterator<Item: Send> + Send>(
        self,
        mut items: I,
        cancel: &Cancel,
        one: impl Fn(I::Item) -> Result<()> + Sync,
    ) -> Result<()> {
        let count = items.len();
        if self == Self::ONE || count <= 1 {
            return items.try_for_each(one);
        }
        let items = Mutex::new(items);
        let next = || locked(&items).next();
        let work = |taken: &mut dyn Iterator<Item = usize>| {
            taken.zip(std::iter::from_fn(next)).try_for_each(|(_, item)| one(item))?;
            Ok(Vec::<(usize, ())>::new())
        };
        self.work_off(count, cancel, work).map(drop)
    }

    /// Runs `work(first_item, chunk)` over `data` cut into chunks of `block` items of `width` numbers.
    ///
    /// Each chunk is written by one call, so the outcome does not depend on the number of threads.
    pub fn chunks_mut<T, F>(
        self,
        data: &mut [T],
        width: usize,
        block: usize,
        cancel: &Cancel,
        work: F,
    ) -> Result<()>
    where
        T: Send,
        F: Fn(usize, &mut [T]) -> Result<()> + Sync,
    {
        assert!(width > 0 && block > 0, "a chunk holds at least one item of at least one number");
        let one = |(i, chunk): (usize, &mut [T])| {
            cancel.check()?;
            work(i * block, chunk)
        };
        self.each(data.chunks_mut(width * block).enumerate(), cancel, one)
    }

    /// As [`Threads::chunks_mut`] over two runs of numbers, of `widths` each an item.
    pub fn pairs_mut<A, B, F>(
        self,
        (a, b): (&mut [A], &mut [B]),
        widths: (usize, usize),
        block: usize,
        cancel: &Cancel,
        work: F,
    ) -> Result<()>
    where
        A: Send,
        B: Send,
        F: Fn(usize, &mut [A], &mut [B]) -> Result<()> + Sync,
    {
        assert!(widths.0 > 0 && widths.1 > 0 && block > 0, "an item has numbers in both runs");
        assert_eq!(a.len() / widths.0, b.len() / widths.1, "both runs hold the same items");
        let one = |(i, (a, b)): (usize, (&mut [A], &mut [B]))| {
            cancel.check()?;
            work(i * block, a, b)
        };
        let (a_width, b_width) = (widths.0 * block, widths.1 * block);
        self.each(a.chunks_mut(a_width).zip(b.chunks_mut(b_width)).enumerate(), cancel, one)
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What other threads do of a call.
struct Shares {
    open: AtomicUsize,
    caller: Thread,
}

impl Shares {
    /// Returns once none is open; asks `cancel` meanwhile, which the others see too.
    fn wait(&self, cancel: &Cancel) {
        let since = Instant::now();
        while self.open.load(Ordering::Acquire) > 0 {
            match rayon::yield_now() {
                // A caller that is itself a worker may hold the others' shares.
                Some(Yield::Executed) => {}
                _ if since.elapsed() < AWAKE => std::hint::spin_loop(),
                _ => {
                    thread::park_timeout(POLL);
                    let _ = cancel.check();
                }
            }
        }
        // The last of them has yet to tell the scope.
        (0..16).for_each(|_| std::hint::spin_loop());
    }
}

/// One share; over when dropped, by a panic too.
struct Share<'s>(&'s Shares);

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Release) == 1 {
            self.0.caller.unpark();
        }
    }
}

/// Lets this worker look for work a moment longer than it would once it has none.
fn stay_awake() {
    thread_local!(static AWAKE_ALREADY: Cell<bool> = const { Cell::new(false) });
    if AWAKE_ALREADY.get() {
        return;
    }
    rayon::spawn(|| {
        if AWAKE_ALREADY.replace(true) {
            return;
        }
        let mut idle = Instant::now();
        while idle.elapsed() < AWAKE {
            match rayon::yield_now() {
                Some(Yield::Executed) => idle = Instant::now(),
                _ => std::hint::spin_loop(),
            }
        }
        AWAKE_ALREADY.set(false);
    });
}

/// Which of a pool's threads this is; `None` if it is a caller's.
pub(crate) fn seat() -> Option<usize> {
    rayon::current_thread_index()
}

/// The result of `work`, which runs on a thread of its own: for work that cannot poll often enough.
///
/// Once `cancel` is set, this returns within [`POLL`] and leaves the thread behind; `work` sees the
/// flag that it is given and ends as soon as it can. It owns what it needs, so nobody waits for it.
pub(crate) fn apart<T, F>(cancel: &Cancel, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Cancel) -> Result<T> + Send + 'static,
{
    let (done, wait) = mpsc::sync_channel(1);
    let stop = Arc::new(Cancel::new());
    let flag = Arc::clone(&stop);
    let worker = thread::spawn(move || {
        // Nobody listens any more once the caller has left.
        let _ = done.send(work(&flag));
    });
    loop {
        match wait.recv_timeout(POLL) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => cancel.check().inspect_err(|_| stop.cancel())?,
            Err(RecvTimeoutError::Disconnected) => match worker.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => unreachable!("a worker that returns has sent its result"),
            },
        }
    }
}

/// One process's pools by size. Tables chain: a forked child walks past its ancestors' tables, whose
/// threads it lacks and whose lock a vanished thread may hold, and appends its own.
struct Table {
    process: u32,
    pools: Mutex<BTreeMap<NonZeroUsize, Arc<rayon::ThreadPool>>>,
    next: OnceLock<Box<Table>>,
}

static POOLS: OnceLock<Box<Table>> = OnceLock::new();

fn pool(threads: NonZeroUsize) -> Arc<rayon::ThreadPool> {
    let process = std::process::id();
    let new = || Box::new(Table { process, pools: Mutex::default(), next: OnceLock::new() });
    let mut table = POOLS.get_or_init(new);
    while table.process != process {
        table = table.next.get_or_init(new);
    }
    let mut pools = locked(&table.pools);
    let made = pools.entry(threads).or_insert_with(|| {
        // The caller is one of the threads.
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads((threads.get() - 1).max(1))
            .thread_name(|i| format!("magnetite-{i}"))
            .build()
            .expect("the operating system gives a process its threads");
        Arc::new(pool)
    });
    Arc::clone(made)
}
