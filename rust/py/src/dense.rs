//! Dense vectors: `magnetite._core.Index`.

use std::path::PathBuf;

use magnetite_core::dense::{self, HitIds, Kind, Lists, Metric, NewIds, Storage};
use magnetite_core::store::Verify;
use magnetite_core::{MatrixRef, Threads};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::boundary::{Rows, enter, enter_briefly};
use crate::errors::to_python;

/// Below this many multiplications a search is over before a thread for it would have begun.
const BRIEF: usize = 4 << 20;

/// An immutable index over dense vectors.
#[pyclass(frozen, module = "magnetite._core")]
pub(crate) struct Index(dense::Index);

/// ids, scores, counts, codes, rows
type Found<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
);

#[pymethods]
impl Index {
    /// Return an index of `vectors`; `ids` is None, an int64 array, or a list of str.
    #[staticmethod]
    #[pyo3(signature = (vectors, ids, *, metric, kind, lists, parts, storage, encoder, seed, threads))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn build(
        py: Python<'_>,
        vectors: &Bound<'_, PyAny>,
        ids: &Bound<'_, PyAny>,
        metric: &str,
        kind: Option<&str>,
        lists: Option<usize>,
        parts: Option<usize>,
        storage: &str,
        encoder: Option<String>,
        seed: u64,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let rows = Rows::borrow(vectors, "vectors")?;
        let (rows, ids) = (rows.view()?, Ids::borrow(ids)?);
        let kind = parse_kind(kind, Lists { lists, parts })?;
        let (metric, storage) = (parse_metric(metric)?, parse_storage(storage)?);
        let build = dense::Build { metric, encoder, kind, storage, seed };
        let threads = Threads::resolve(threads).map_err(to_python)?;
        let ids = ids.view()?;
        enter(py, |cancel| dense::Index::build(rows, ids, &build, threads, cancel)).map(Self)
    }

    /// Return the index that `save` left at `path`; `full` compares every checksum now.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, full: bool) -> PyResult<Self> {
        let verify = if full { Verify::Full } else { Verify::Lazy };
        enter(py, |cancel| dense::Index::open(&path, verify, cancel)).map(Self)
    }

    /// Make the directory `path` hold this index, in one step that happens or does not.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        enter(py, |cancel| self.0.save(&path, cancel))
    }

    /// Return ids, scores `[n, k]`, and for each query its results, codes compared, rows scored.
    #[pyo3(signature = (queries, k, *, probes, rescore, threads))]
    fn search<'py>(
        &self,
        py: Python<'py>,
        queries: &Bound<'py, PyAny>,
        k: usize,
        probes: Option<usize>,
        rescore: Option<usize>,
        threads: Option<usize>,
    ) -> PyResult<Found<'py>> {
        let rows = Rows::borrow(queries, "queries")?;
        let rows = rows.view()?;
        let search = dense::Search { k, probes, rescore, ..dense::Search::default() };
        let threads = Threads::resolve(threads).map_err(to_python)?;
        let hits = if self.is_brief(rows) {
            enter_briefly(py, |cancel| self.0.search(rows, &search, Threads::ONE, cancel))
        } else {
            enter(py, |cancel| self.0.search(rows, &search, threads, cancel))
        };
        into_arrays(py, hits?)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Numbers in a row.
    #[getter]
    fn dim(&self) -> usize {
        self.0.dim()
    }

    /// Lists that the rows are in, or None if every search looks at all rows.
    #[getter]
    fn lists(&self) -> Option<usize> {
        self.0.lists()
    }

    /// `dot`, `cosine` or `l2`.
    #[getter]
    fn metric(&self) -> &'static str {
        match self.0.metric() {
            Metric::Dot => "dot",
            Metric::Cosine => "cosine",
            Metric::L2 => "l2",
        }
    }

    /// `f32`, `f16` or `int8`.
    #[getter]
    fn storage(&self) -> &'static str {
        match self.0.storage() {
            Storage::F32 => "f32",
            Storage::F16 => "f16",
            Storage::Int8 => "int8",
        }
    }

    /// The fingerprint of the encoder that made the vectors, or None.
    #[getter]
    fn encoder(&self) -> Option<&str> {
        self.0.encoder()
    }
}

impl Index {
    fn is_brief(&self, queries: MatrixRef<'_>) -> bool {
        queries.data().len().saturating_mul(self.0.len()) < BRIEF
    }
}

fn into_arrays<'py>(py: Python<'py>, hits: dense::Hits<'_>) -> PyResult<Found<'py>> {
    let shape = [hits.counts.len(), hits.k];
    let ids = match hits.ids {
        HitIds::Numbers(numbers) => numbers.into_pyarray(py).reshape(shape)?.into_any(),
        HitIds::Text(texts) => PyList::new(py, texts)?.into_any(),
    };
    let codes: Vec<i64> = hits.costs.iter().map(|cost| cost.codes as i64).collect();
    let rows: Vec<i64> = hits.costs.iter().map(|cost| cost.rows as i64).collect();
    Ok((
        ids,
        hits.scores.into_pyarray(py).reshape(shape)?,
        hits.counts.into_pyarray(py),
        codes.into_pyarray(py),
        rows.into_pyarray(py),
    ))
}

fn parse_metric(name: &str) -> PyResult<Metric> {
    match name {
        "dot" => Ok(Metric::Dot),
        "cosine" => Ok(Metric::Cosine),
        "l2" => Ok(Metric::L2),
        _ => {
            let want = "\"dot\", \"cosine\" or \"l2\"";
            Err(to_python(magnetite_core::Error::range("metric", want, format!("{name:?}"))))
        }
    }
}

fn parse_storage(name: &str) -> PyResult<Storage> {
    match name {
        "f32" => Ok(Storage::F32),
        "f16" => Ok(Storage::F16),
        "int8" => Ok(Storage::Int8),
        _ => {
            let want = "\"f32\", \"f16\" or \"int8\"";
            Err(to_python(magnetite_core::Error::range("storage", want, format!("{name:?}"))))
        }
    }
}

/// No kind is the index's own choice, unless something was said of lists.
fn parse_kind(name: Option<&str>, lists: Lists) -> PyResult<Kind> {
    match name {
        None if lists == Lists::default() => Ok(Kind::Auto),
        Some("flat") if lists == Lists::default() => Ok(Kind::Flat),
        None | Some("ivf") => Ok(Kind::Ivf(lists)),
        Some(name) => {
            let want = "None, \"ivf\", or \"flat\" without lists and parts";
            Err(to_python(magnetite_core::Error::range("kind", want, format!("{name:?}"))))
        }
    }
}

/// Ids as Python gives them.
enum Ids<'py> {
    Rows,
    Numbers(PyReadonlyArray1<'py, i64>),
    Text(Vec<String>),
}

impl<'py> Ids<'py> {
    fn borrow(value: &Bound<'py, PyAny>) -> PyResult<Self> {
        if value.is_none() {
            return Ok(Self::Rows);
        }
        if let Ok(numbers) = value.extract() {
            return Ok(Self::Numbers(numbers));
        }
        value.extract().map(Self::Text).map_err(|error| {
            if error.is_instance_of::<PyValueError>(value.py()) {
                return PyValueError::new_err(format!("ids must be Unicode text; {error}"));
            }
            let got = value.get_type();
            PyTypeError::new_err(format!("ids must be int64 numbers or a list of str; got {got}"))
        })
    }

    fn view(&self) -> PyResult<NewIds<'_>> {
        Ok(match self {
            Self::Rows => NewIds::Rows,
            Self::Numbers(numbers) => NewIds::Numbers(numbers.as_slice()?),
            Self::Text(texts) => NewIds::Text(texts),
        })
    }
}
