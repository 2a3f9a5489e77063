//! Every way in which the engine can refuse, each a sentence that says what, wanted, got, remedy.

use std::path::PathBuf;

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused. The bindings map each variant to one Python class, exhaustively.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A matrix whose rows have another length than wanted.
    #[error("{what} must have {want} columns; got {got}")]
    Columns {
        /// The argument.
        what: &'static str,
        /// Columns wanted.
        want: usize,
        /// Columns that came.
        got: usize,
    },
    /// A buffer whose length does not fit its stated shape.
    #[error("{what} must have {want} elements; got {got}")]
    Length {
        /// The argument.
        what: &'static str,
        /// Elements wanted.
        want: usize,
        /// Elements that came.
        got: usize,
    },
    /// NaN or an infinity where numbers are needed.
    #[error("{what} must be finite; row {row} holds NaN or an infinity; drop or repair that row")]
    NotFinite {
        /// The argument.
        what: &'static str,
        /// The first bad row.
        row: usize,
    },
    /// A number outside its range.
    #[error("{what} must be {want}; got {got}")]
    Range {
        /// The argument.
        what: &'static str,
        /// The range, in words.
        want: String,
        /// The value that came.
        got: String,
    },
    /// An id that no row is called.
    #[error("no row of the index is called {0}")]
    Missing(String),
    /// An input that is empty where something is needed.
    #[error("{what} is empty; give at least one {unit}")]
    Empty {
        /// The argument.
        what: &'static str,
        /// What it is made of.
        unit: &'static str,
    },
    /// A file that is not what it should be: truncated, changed, of another kind or version.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What differs and what to do.
        problem: String,
    },
    /// A tokenizer definition or text that the tokenizer refuses.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// An I/O error that names its file.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// A format error that names its file.
    pub fn format(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Format { path: path.into(), problem: problem.into() }
    }

    /// An id that no row is called.
    pub(crate) fn missing(id: impl ToString) -> Self {
        Self::Missing(id.to_string())
    }

    /// A value outside its range.
    pub fn range(what: &'static str, want: impl Into<String>, got: impl ToString) -> Self {
        Self::Range { what, want: want.into(), got: got.to_string() }
    }
}
