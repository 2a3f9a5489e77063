//! The one door between Python and the engine, and the arrays that may pass it.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use magnetite_core::{Cancel, MatrixRef, Result, Threads};
use numpy::{PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::errors::to_python;

/// How long a Ctrl-C may wait before it is seen.
const POLL: Duration = Duration::from_millis(20);
/// Below this many multiplications work is over before another thread has woken up.
const BRIEF: usize = 4 << 20;
/// From this many on a thread costs nothing, and has a heap of its own: buffers that lie between the
/// interpreter's objects made exact search a quarter slower in some processes.
const LONG: usize = 1 << 30;

/// Runs `work` without the interpreter, on a thread of its own, while this one polls Ctrl-C.
///
/// A pending signal sets the flag that `work` polls, and its exception is raised once `work` has
/// returned. For work that holds what a signal's handler may want to use, or that lasts so long that
/// a thread costs nothing.
pub(crate) fn enter<T, F>(py: Python<'_>, work: F) -> PyResult<T>
where
    T: Send,
    F: FnOnce(&Cancel) -> Result<T> + Send,
{
    let cancel = Cancel::new();
    py.detach(|| {
        std::thread::scope(|scope| {
            let (done, wait) = mpsc::sync_channel(1);
            let cancel = &cancel;
            let worker = scope.spawn(move || done.send(work(cancel)));
            let mut raised = None;
            loop {
                match wait.recv_timeout(POLL) {
                    Ok(result) => return raised.map_or_else(|| result.map_err(to_python), Err),
                    Err(RecvTimeoutError::Timeout) => {
                        if let Err(error) = Python::attach(|py| py.check_signals()) {
                            cancel.cancel();
                            raised = Some(error);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => match worker.join() {
                        Err(panic) => std::panic::resume_unwind(panic),
                        Ok(_) => unreachable!("a worker that returns has sent its result"),
                    },
                }
            }
        })
    })
}

/// Runs `work` without the interpreter on the calling thread, which polls Ctrl-C where `work` polls
/// its flag: for calls that many make after one another, where a thread each would cost more than
/// the work.
///
/// `work` holds no lock that another thread may want while it has the interpreter.
pub(crate) fn enter_here<T, F>(py: Python<'_>, work: F) -> PyResult<T>
where
    T: Send,
    F: FnOnce(&Cancel) -> Result<T> + Send,
{
    let raised = Arc::new(OnceLock::new());
    let told = Arc::clone(&raised);
    let cancel = Cancel::asking(move || {
        Python::attach(|py| py.check_signals()).is_err_and(|error| told.set(error).is_ok())
    });
    let result = py.detach(|| work(&cancel));
    drop(cancel);
    match Arc::into_inner(raised).and_then(OnceLock::into_inner) {
        Some(error) => Err(error),
        None => result.map_err(to_python),
    }
}

/// Runs `work`, of about so many `multiplications`, by the door and with the threads that they are worth.
pub(crate) fn enter_by_work<T, F>(
    py: Python<'_>,
    multiplications: usize,
    threads: Option<usize>,
    work: F,
) -> PyResult<T>
where
    T: Send,
    F: FnOnce(Threads, &Cancel) -> Result<T> + Send,
{
    let threads = Threads::resolve_but_for(multiplications < BRIEF, threads).map_err(to_python)?;
    let work = |cancel: &Cancel| work(threads, cancel);
    if multiplications < LONG { enter_here(py, work) } else { enter(py, work) }
}

/// Borrowed float32 rows in C order; do not write to the array during the call.
pub(crate) struct Rows<'py>(PyReadonlyArray2<'py, f32>);

impl<'py> Rows<'py> {
    /// Borrows `value`, or says what `name` must be and what came.
    pub(crate) fn borrow(value: &Bound<'py, PyAny>, name: &str) -> PyResult<Self> {
        let wrong = || PyTypeError::new_err(refusal(value, name));
        let array: PyReadonlyArray2<'py, f32> = value.extract().map_err(|_| wrong())?;
        if array.is_c_contiguous() { Ok(Self(array)) } else { Err(wrong()) }
    }

    /// The rows; refuses an array without columns.
    pub(crate) fn view(&self) -> PyResult<MatrixRef<'_>> {
        let data =
            self.0.as_slice().map_err(|_| PyTypeError::new_err("rows must be in C order"))?;
        MatrixRef::new(data, self.0.shape()[1]).map_err(to_python)
    }
}

fn refusal(value: &Bound<'_, PyAny>, name: &str) -> String {
    let remedy = "use numpy.ascontiguousarray(x, dtype=numpy.float32)";
    let got = match value.cast::<PyUntypedArray>() {
        Ok(array) => {
            let order = if array.is_c_contiguous() { "" } else { " not in C order" };
            format!("{} of shape {:?}{order}", array.dtype(), array.shape())
        }
        Err(_) => value.get_type().to_string(),
    };
    format!("{name} must be a float32 array of shape (n, dim) in C order; got {got}; {remedy}")
}

/// Return the number of threads a call will use: `threads`, else `MAGNETITE_NUM_THREADS`, else the CPUs at hand.
#[pyfunction]
#[pyo3(signature = (threads=None))]
pub(crate) fn resolve_threads(threads: Option<usize>) -> PyResult<usize> {
    Threads::resolve(threads).map(Threads::get).map_err(to_python)
}
