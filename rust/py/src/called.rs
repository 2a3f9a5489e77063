//! What Python says of an index in words and names, as the engine takes it.

use magnetite_core::Error;
use magnetite_core::dense::{Kind, Lists, Metric, Names, NewIds, Pick, Storage};
use numpy::PyReadonlyArray1;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::errors::to_python;

/// The metric called `name`.
pub(crate) fn parse_metric(name: &str) -> PyResult<Metric> {
    match name {
        "dot" => Ok(Metric::Dot),
        "cosine" => Ok(Metric::Cosine),
        "l2" => Ok(Metric::L2),
        _ => {
            let want = "\"dot\", \"cosine\" or \"l2\"";
            Err(to_python(Error::range("metric", want, format!("{name:?}"))))
        }
    }
}

/// The way to keep rows that is called `name`.
pub(crate) fn parse_storage(name: &str) -> PyResult<Storage> {
    match name {
        "f32" => Ok(Storage::F32),
        "f16" => Ok(Storage::F16),
        "int8" => Ok(Storage::Int8),
        _ => {
            let want = "\"f32\", \"f16\" or \"int8\"";
            Err(to_python(Error::range("storage", want, format!("{name:?}"))))
        }
    }
}

/// No kind is the index's own choice, unless something was said of lists.
pub(crate) fn parse_kind(name: Option<&str>, lists: Lists) -> PyResult<Kind> {
    match name {
        None if lists == Lists::default() => Ok(Kind::Auto),
        Some("flat") if lists == Lists::default() => Ok(Kind::Flat),
        None | Some("ivf") => Ok(Kind::Ivf(lists)),
        Some(name) => {
            let want = "None, \"ivf\", or \"flat\" without lists and parts";
            Err(to_python(Error::range("kind", want, format!("{name:?}"))))
        }
    }
}

/// Rows as Python calls them.
pub(crate) enum Called<'py> {
    Rows,
    Numbers(PyReadonlyArray1<'py, i64>),
    Text(Vec<String>),
    Mask(PyReadonlyArray1<'py, bool>),
}

impl<'py> Called<'py> {
    pub(crate) fn borrow(value: &Bound<'py, PyAny>, what: &str) -> PyResult<Self> {
        if value.is_none() {
            return Ok(Self::Rows);
        }
        if let Ok(numbers) = value.extract() {
            return Ok(Self::Numbers(numbers));
        }
        if let Ok(mask) = value.extract() {
            return Ok(Self::Mask(mask));
        }
        value.extract().map(Self::Text).map_err(|error| {
            if error.is_instance_of::<PyValueError>(value.py()) {
                return PyValueError::new_err(format!("{what} must be Unicode text; {error}"));
            }
            let got = value.get_type();
            PyTypeError::new_err(format!(
                "{what} must be int64 numbers or a list of str; got {got}"
            ))
        })
    }

    pub(crate) fn several(values: &[Bound<'py, PyAny>], what: &str) -> PyResult<Vec<Self>> {
        values.iter().map(|value| Self::borrow(value, what)).collect()
    }

    pub(crate) fn new_ids(&self) -> PyResult<NewIds<'_>> {
        match self {
            Self::Rows => Ok(NewIds::Rows),
            Self::Numbers(numbers) => Ok(NewIds::Numbers(numbers.as_slice()?)),
            Self::Text(texts) => Ok(NewIds::Text(texts)),
            Self::Mask(_) => Err(not_ids()),
        }
    }

    pub(crate) fn names(&self) -> PyResult<Names<'_>> {
        match self {
            Self::Numbers(numbers) => Ok(Names::Numbers(numbers.as_slice()?)),
            Self::Text(texts) => Ok(Names::Text(texts)),
            Self::Rows | Self::Mask(_) => Err(not_ids()),
        }
    }
}

fn not_ids() -> PyErr {
    PyTypeError::new_err("ids must be int64 numbers or a list of str")
}

/// What several queries may find, as the engine takes it.
pub(crate) fn picks<'a>(called: &'a [Called<'_>]) -> PyResult<Vec<Pick<'a>>> {
    let one = |called: &'a Called<'_>| match called {
        Called::Mask(mask) => Ok(Pick::Mask(mask.as_slice()?)),
        ids => Ok(Pick::Ids(ids.names()?)),
    };
    called.iter().map(one).collect()
}
