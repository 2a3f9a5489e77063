//! One engine error, one Python class: the match has no `_` arm, so a new variant must be decided.

use magnetite_core::Error;
use pyo3::create_exception;
use pyo3::exceptions::{PyKeyError, PyKeyboardInterrupt, PyOSError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    magnetite._core,
    FormatError,
    PyValueError,
    "A file is not what it should be: truncated, changed, of another kind or version."
);

/// The Python exception of an engine error.
pub(crate) fn to_python(error: Error) -> PyErr {
    let sentence = error.to_string();
    match error {
        Error::Columns { .. }
        | Error::Length { .. }
        | Error::NotFinite { .. }
        | Error::Range { .. }
        | Error::Empty { .. }
        | Error::Tokenizer(_) => PyValueError::new_err(sentence),
        Error::Missing(_) => PyKeyError::new_err(sentence),
        Error::Format { .. } => FormatError::new_err(sentence),
        Error::Io { path, source } => match source.raw_os_error() {
            // OSError(errno, reason, file) chooses FileNotFoundError and its kin by itself.
            Some(code) => PyOSError::new_err((code, source.to_string(), path)),
            None => PyOSError::new_err(sentence),
        },
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
    }
}
