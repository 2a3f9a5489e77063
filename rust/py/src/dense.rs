//! Dense vectors: `magnetite._core.Index`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use magnetite_core::dense::{self, HitIds, IdKind, Lists, Metric, Storage, Writer};
use magnetite_core::store::Verify;
use magnetite_core::{Cancel, Result, Threads};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::boundary::{Rows, enter, enter_by_work, enter_here};
use crate::called::{Called, parse_kind, parse_metric, parse_storage, picks};
use crate::errors::to_python;
use crate::writing::{To, Writing};

/// An index over dense vectors: a snapshot for searches, and whoever may replace it.
#[pyclass(frozen, module = "magnetite._core")]
pub(crate) struct Index {
    now: RwLock<Arc<dense::Index>>,
    writing: Mutex<Writing>,
    /// Where it was opened, and how.
    source: Option<(PathBuf, Verify)>,
}

/// ids, scores, counts, codes, rows
type Found<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
);

/// probes, rescore, slack; of each segment rows, lists, lists probed, codes, filtered, scored
type ExplanationParts = (Option<usize>, Option<usize>, Option<f32>, Vec<LookedParts>);
type LookedParts = (usize, Option<usize>, Vec<u32>, u64, u64, u64);

/// k, queries, whether they are stored vectors, rows then, rows changed since, points: recall, what
/// is sure, codes, rows, probes, rescore, slack
type CurveParts = (usize, usize, bool, usize, usize, Vec<PointParts>);
type PointParts = (f64, f64, u64, u64, usize, usize, Option<f64>);

fn curve_parts(curve: &dense::Curve) -> CurveParts {
    let part = |millionths: u32| f64::from(millionths) / 1e6;
    let points = curve.points.iter().map(|point| {
        let dense::Effort { probes, rescore, slack } = point.effort;
        let slack = slack.map(|slack| slack as f64 / 1e6);
        (part(point.recall), part(point.sure), point.codes, point.rows, probes, rescore, slack)
    });
    (curve.k, curve.queries, curve.stand_in, curve.rows, curve.changed, points.collect())
}

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
        let (rows, ids) = (rows.view()?, Called::borrow(ids, "ids")?);
        let kind = parse_kind(kind, Lists { lists, parts })?;
        let (metric, storage) = (parse_metric(metric)?, parse_storage(storage)?);
        let build = dense::Build { metric, encoder, kind, storage, seed };
        let threads = Threads::resolve(threads).map_err(to_python)?;
        let ids = ids.new_ids()?;
        let index = enter(py, |cancel| dense::Index::build(rows, ids, &build, threads, cancel))?;
        Ok(Self::new(index, To::Memory, None))
    }

    /// Return the index at `path`; `full` compares every checksum now, `writable` takes the lock.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, full: bool, writable: bool) -> PyResult<Self> {
        let verify = if full { Verify::Full } else { Verify::Lazy };
        let (index, to) = enter(py, |cancel| {
            if !writable {
                return Ok((dense::Index::open(&path, verify, cancel)?, To::Nowhere));
            }
            let writer = Writer::open(&path, verify, cancel)?;
            Ok((writer.index().clone(), To::Directory(writer.into())))
        })?;
        Ok(Self::new(index, to, Some((path, verify))))
    }

    /// Return the index of segments at `path` that `manifest`, which the caller keeps, describes; what
    /// `known` has of it is not checked again.
    #[staticmethod]
    fn open_as(
        py: Python<'_>,
        path: PathBuf,
        manifest: &str,
        known: Option<&Self>,
        writable: bool,
    ) -> PyResult<Self> {
        let known = known.map(Self::now);
        let (index, to) = enter(py, |cancel| {
            let known = known.as_deref();
            if !writable {
                let index = dense::Index::open_as(&path, manifest, known, Verify::Lazy, cancel)?;
                return Ok((index, To::Nowhere));
            }
            let writer = Writer::open_as(&path, manifest, known, cancel)?;
            Ok((writer.index().clone(), To::Kept(writer.into())))
        })?;
        Ok(Self::new(index, to, None))
    }

    /// Return what `verify` does, of the index that `manifest` describes.
    #[staticmethod]
    fn verify_as(
        py: Python<'_>,
        path: PathBuf,
        manifest: &str,
        threads: Option<usize>,
    ) -> PyResult<(usize, usize, usize)> {
        let threads = Threads::resolve(threads).map_err(to_python)?;
        let found = enter(py, |cancel| {
            let index = dense::Index::open_as(&path, manifest, None, Verify::Full, cancel)?;
            index.check(&path, threads, cancel)
        })?;
        Ok((found.rows, found.dead, found.segments))
    }

    /// Write down what was changed; return the manifest of it, for a caller who keeps that.
    fn prepare(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, |cancel| {
            let mut writing = self.writing();
            let (next, manifest) = writing.prepare(&self.now(), cancel)?;
            self.show(next);
            Ok(manifest)
        })
    }

    /// Remove what `manifest`, which the caller keeps from now on, does not name.
    fn settle(&self, py: Python<'_>, manifest: &str) -> PyResult<()> {
        enter(py, |_| self.writing().settle(manifest))
    }

    /// Return rows, deleted rows and segments of the index at `path`, of which everything holds.
    #[staticmethod]
    fn verify(
        py: Python<'_>,
        path: PathBuf,
        threads: Option<usize>,
    ) -> PyResult<(usize, usize, usize)> {
        let threads = Threads::resolve(threads).map_err(to_python)?;
        let found = enter(py, |cancel| dense::Index::verify(&path, threads, cancel))?;
        Ok((found.rows, found.dead, found.segments))
    }

    /// Return this index as it will be at `path` once it is committed; the lock is taken now.
    fn begin_at(&self, py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let now = self.now();
        let writer = enter(py, |_| Writer::begin(&path, &now))?;
        let to = To::Directory(writer.into());
        Ok(Self::new(dense::Index::clone(&now), to, Some((path, Verify::Lazy))))
    }

    /// Make the directory `path` hold this index, in one step that happens or does not.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let now = self.now();
        enter(py, |cancel| now.save(&path, cancel))
    }

    /// See what was committed since; return whether anything was.
    fn refresh(&self, py: Python<'_>) -> PyResult<bool> {
        let Some((path, verify)) = &self.source else { return Ok(false) };
        enter(py, |cancel| {
            let writing = self.writing();
            if !matches!(writing.to, To::Nowhere) {
                return Ok(false);
            }
            let now = self.now();
            let next = now.reopen(path, *verify, cancel)?;
            let changed = !next.same_rows(&now);
            if changed {
                self.show(next);
            }
            Ok(changed)
        })
    }

    /// Add rows; `ids` as in `build`.
    fn add(
        &self,
        py: Python<'_>,
        vectors: &Bound<'_, PyAny>,
        ids: &Bound<'_, PyAny>,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let rows = Rows::borrow(vectors, "vectors")?;
        let (rows, ids) = (rows.view()?, Called::borrow(ids, "ids")?);
        let (ids, threads) = (ids.new_ids()?, Threads::resolve(threads).map_err(to_python)?);
        self.change(py, |now, cancel| now.add(rows, ids, threads, cancel))
    }

    /// Add rows in place of those that are called so.
    fn upsert(
        &self,
        py: Python<'_>,
        vectors: &Bound<'_, PyAny>,
        ids: &Bound<'_, PyAny>,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let rows = Rows::borrow(vectors, "vectors")?;
        let (rows, ids) = (rows.view()?, Called::borrow(ids, "ids")?);
        let (ids, threads) = (ids.names()?, Threads::resolve(threads).map_err(to_python)?);
        self.change(py, |now, cancel| now.upsert(rows, ids, threads, cancel))
    }

    /// Delete the rows that are called so; return how many there were.
    fn delete(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> PyResult<usize> {
        let ids = Called::borrow(ids, "ids")?;
        let ids = ids.names()?;
        let mut gone = 0;
        self.change(py, |now, _| {
            let next = now.delete(ids)?;
            gone = now.len() - next.len();
            Ok(next)
        })?;
        Ok(gone)
    }

    /// Build all rows together.
    #[pyo3(signature = (threads=None))]
    fn compact(&self, py: Python<'_>, threads: Option<usize>) -> PyResult<()> {
        let threads = Threads::resolve(threads).map_err(to_python)?;
        self.change(py, |now, cancel| now.compact(threads, cancel))
    }

    /// Give the lock back.
    fn close(&self) {
        let mut writing = self.writing();
        if matches!(writing.to, To::Directory(_) | To::Kept(_)) {
            writing.to = To::Nowhere;
        }
    }

    /// Keep changes back until `end_batch`.
    fn begin_batch(&self) -> PyResult<()> {
        let mut writing = self.writing();
        if writing.before.is_some() {
            return Err(PyValueError::new_err("a batch is open; end it before you begin another"));
        }
        writing.before = Some(self.now());
        Ok(())
    }

    /// Commit what was changed since `begin_batch`, or forget it.
    fn end_batch(&self, py: Python<'_>, keep: bool) -> PyResult<()> {
        enter(py, |cancel| {
            let mut writing = self.writing();
            let Some(before) = writing.before.take() else { return Ok(()) };
            let done = if keep { writing.commit(&self.now(), cancel) } else { Ok(None) };
            match done {
                Ok(Some(next)) => self.show(next),
                Ok(None) if keep => {}
                failed => {
                    self.show(dense::Index::clone(&before));
                    writing.forget();
                    return failed.map(drop);
                }
            }
            Ok(())
        })
    }

    /// Return ids, scores `[n, k]`, and for each query its results, codes compared, rows scored.
    #[pyo3(signature = (
        queries, k, *, probes, rescore, slack, target_recall, only, exclude, min_score, dim, threads
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn search<'py>(
        &self,
        py: Python<'py>,
        queries: &Bound<'py, PyAny>,
        k: usize,
        probes: Option<usize>,
        rescore: Option<usize>,
        slack: Option<f32>,
        target_recall: Option<f64>,
        only: Vec<Bound<'py, PyAny>>,
        exclude: Vec<Bound<'py, PyAny>>,
        min_score: Option<f32>,
        dim: Option<usize>,
        threads: Option<usize>,
    ) -> PyResult<Found<'py>> {
        let rows = Rows::borrow(queries, "queries")?;
        let rows = rows.view()?;
        let (only, exclude) =
            (Called::several(&only, "filter")?, Called::several(&exclude, "exclude")?);
        let (only, except) = (picks(&only)?, picks(&exclude)?);
        let min_score = min_score.unwrap_or(f32::NEG_INFINITY);
        let search = dense::Search {
            k,
            probes,
            rescore,
            slack,
            target_recall,
            only: &only,
            except: &except,
            min_score,
            dim,
        };
        let now = self.now();
        let work = now.work(rows.rows(), &search);
        let hits = enter_by_work(py, work, threads, |threads, cancel| {
            now.search(rows, &search, threads, cancel)
        });
        into_arrays(py, hits?)
    }

    /// Return probes, rescore, slack, and for each segment what a search did in it: rows, lists,
    /// lists probed, codes, codes of rows that may not be found, rows scored exactly.
    #[pyo3(signature = (query, k, *, probes, rescore, slack, target_recall, only, exclude))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn explain(
        &self,
        py: Python<'_>,
        query: &Bound<'_, PyAny>,
        k: usize,
        probes: Option<usize>,
        rescore: Option<usize>,
        slack: Option<f32>,
        target_recall: Option<f64>,
        only: Vec<Bound<'_, PyAny>>,
        exclude: Vec<Bound<'_, PyAny>>,
    ) -> PyResult<ExplanationParts> {
        let row = Rows::borrow(query, "query")?;
        let row = row.view()?;
        let (only, exclude) =
            (Called::several(&only, "filter")?, Called::several(&exclude, "exclude")?);
        let (only, except) = (picks(&only)?, picks(&exclude)?);
        let search = dense::Search {
            k,
            probes,
            rescore,
            slack,
            target_recall,
            only: &only,
            except: &except,
            ..dense::Search::default()
        };
        let now = self.now();
        let said = enter(py, |cancel| now.explain(row, &search, cancel))?;
        let parts = said.parts.into_iter();
        let parts =
            parts.map(|p| (p.rows, p.lists, p.probed, p.codes, p.filtered, p.scored)).collect();
        Ok((said.probes, said.rescore, said.slack, parts))
    }

    /// Measure what recall costs for `k` results and keep it with the index; return it.
    fn tune<'py>(
        &self,
        py: Python<'py>,
        queries: Option<Bound<'py, PyAny>>,
        k: usize,
        threads: Option<usize>,
    ) -> PyResult<CurveParts> {
        let rows = queries.as_ref().map(|queries| Rows::borrow(queries, "queries")).transpose()?;
        let rows = rows.as_ref().map(Rows::view).transpose()?;
        let threads = Threads::resolve(threads).map_err(to_python)?;
        let mut curve = None;
        self.change(py, |now, cancel| {
            let measured = now.measure(rows, k, threads, cancel)?;
            let next = now.with_curve(measured.clone());
            curve = Some(measured);
            Ok(next)
        })?;
        Ok(curve_parts(&curve.expect("set by the change, which happened")))
    }

    /// Measure what recall costs for `k` results, on stored vectors, unless that is known; this
    /// snapshot knows it from now on.
    fn learn(&self, py: Python<'_>, k: usize, threads: Option<usize>) -> PyResult<()> {
        let threads = Threads::resolve(threads).map_err(to_python)?;
        enter(py, |cancel| {
            let _writing = self.writing();
            let now = self.now();
            if now.curve(k).is_none() {
                self.show(now.with_curve(now.measure(None, k, threads, cancel)?));
            }
            Ok(())
        })
    }

    /// Return what recall costs for `k` results, if that is known.
    fn curve(&self, k: usize) -> Option<CurveParts> {
        self.now().curve(k).map(curve_parts)
    }

    /// Return whether what is known for `k` results is old, or None if nothing is.
    fn is_stale(&self, k: usize) -> Option<bool> {
        self.now().curve(k).map(dense::Curve::is_stale)
    }

    /// Return the vectors of the rows that are called so.
    fn get<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let ids = Called::borrow(ids, "ids")?;
        let (ids, now) = (ids.names()?, self.now());
        let vectors = enter(py, |_| now.get(ids))?;
        let shape = [vectors.view().rows(), now.dim()];
        vectors.into_data().into_pyarray(py).reshape(shape)
    }

    /// Return for each id whether a row is called so.
    fn contains<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<bool>>> {
        let ids = Called::borrow(ids, "ids")?;
        let (ids, now) = (ids.names()?, self.now());
        Ok(enter_here(py, |_| now.contains(ids))?.into_pyarray(py))
    }

    /// Every id, ascending.
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let now = self.now();
        Ok(match now.ids().map_err(to_python)? {
            HitIds::Numbers(numbers) => numbers.into_pyarray(py).into_any(),
            HitIds::Text(texts) => PyList::new(py, texts)?.into_any(),
        })
    }

    /// `numbers` or `text`.
    #[getter]
    fn id_kind(&self) -> &'static str {
        if self.now().id_kind() == IdKind::Text { "text" } else { "numbers" }
    }

    fn __len__(&self) -> usize {
        self.now().len()
    }

    /// Numbers in a row.
    #[getter]
    fn dim(&self) -> usize {
        self.now().dim()
    }

    /// Lists that the rows are in, or None if every search looks at all rows.
    #[getter]
    fn lists(&self) -> Option<usize> {
        self.now().lists()
    }

    /// Segments that the rows are in.
    #[getter]
    fn segments(&self) -> usize {
        self.now().segments()
    }

    /// Rows that are deleted but still lie in a segment.
    #[getter]
    fn dead(&self) -> usize {
        self.now().dead()
    }

    /// `dot`, `cosine` or `l2`.
    #[getter]
    fn metric(&self) -> &'static str {
        match self.now().metric() {
            Metric::Dot => "dot",
            Metric::Cosine => "cosine",
            Metric::L2 => "l2",
        }
    }

    /// `f32`, `f16` or `int8`.
    #[getter]
    fn storage(&self) -> &'static str {
        match self.now().storage() {
            Storage::F32 => "f32",
            Storage::F16 => "f16",
            Storage::Int8 => "int8",
        }
    }

    /// The fingerprint of the encoder that made the vectors, or None.
    #[getter]
    fn encoder(&self) -> Option<String> {
        self.now().encoder().map(str::to_owned)
    }
}

impl Index {
    fn new(index: dense::Index, to: To, source: Option<(PathBuf, Verify)>) -> Self {
        let writing = Mutex::new(Writing { to, before: None });
        Self { now: RwLock::new(Arc::new(index)), writing, source }
    }

    /// The snapshot of this moment.
    pub(crate) fn now(&self) -> Arc<dense::Index> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, next: dense::Index) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the snapshot by what `work` makes of it, once that is committed.
    fn change<F>(&self, py: Python<'_>, work: F) -> PyResult<()>
    where
        F: FnOnce(&dense::Index, &Cancel) -> Result<dense::Index> + Send,
    {
        enter(py, |cancel| {
            let mut writing = self.writing();
            writing.expect_writable(self.source.as_ref().map(|(path, _)| path))?;
            let next = work(&self.now(), cancel)?;
            let next = match (&writing.before, &writing.to) {
                (None, _) => writing.commit(&next, cancel)?.unwrap_or(next),
                // Kept back, but not in memory.
                (Some(_), To::Directory(writer)) => writer.put_down(&next, cancel)?,
                (Some(_), _) => next,
            };
            self.show(next);
            Ok(())
        })
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
