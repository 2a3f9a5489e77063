//! Cross-encoder search: `magnetite._core.CurSolver` and `CurSearch`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use magnetite_core::Error;
use magnetite_core::cur::{Plan, Ridge, Round, Search, Solver, Start};
use magnetite_core::dense::{self, HitIds, IdKind, Pick};
use magnetite_core::topk::Scored;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::boundary::{enter_by_work, enter_here};
use crate::called::{Called, picks};
use crate::dense::Index;
use crate::errors::to_python;

/// A ridge regression that takes its rows one after the other.
#[pyclass(frozen, module = "magnetite._core")]
pub(crate) struct CurSolver {
    dim: usize,
    solver: Mutex<Solver>,
}

#[pymethods]
impl CurSolver {
    #[new]
    #[pyo3(signature = (dim, ridge, noise, tolerance))]
    fn new(dim: usize, ridge: f64, noise: f64, tolerance: f64) -> PyResult<Self> {
        let ridge = Ridge { relative: ridge, noise, tolerance };
        ridge.expect().map_err(to_python)?;
        if dim == 0 {
            return Err(to_python(Error::range("dim", "at least 1", dim)));
        }
        Ok(Self { dim, solver: Mutex::new(Solver::new(dim, ridge)) })
    }

    /// Learn that the rows scored so.
    fn append(
        &self,
        rows: PyReadonlyArray2<'_, f64>,
        scores: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<()> {
        let (want, got) = (self.dim, rows.shape()[1]);
        if got != want {
            return Err(to_python(Error::Columns { what: "rows", want, got }));
        }
        let (rows, scores) = (rows.as_slice()?, scores.as_slice()?);
        let (want, got) = (rows.len() / self.dim, scores.len());
        if got != want {
            return Err(to_python(Error::Length { what: "scores", want, got }));
        }
        for (what, numbers, width) in [("rows", rows, self.dim), ("scores", scores, 1)] {
            if let Some(place) = numbers.iter().position(|x| !x.is_finite()) {
                return Err(to_python(Error::NotFinite { what, row: place / width }));
            }
        }
        self.solver().append(rows, scores);
        Ok(())
    }

    /// Return what explains the scores.
    fn solution<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.solver().solution().into_pyarray(py)
    }

    /// How many directions the rows have.
    #[getter]
    fn rank(&self) -> usize {
        self.solver().rank()
    }
}

impl CurSolver {
    fn solver(&self) -> MutexGuard<'_, Solver> {
        self.solver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The search of a batch of queries, between two rounds.
#[pyclass(frozen, module = "magnetite._core")]
pub(crate) struct CurSearch {
    index: Arc<dense::Index>,
    count: usize,
    search: Mutex<Search>,
}

/// ids, scores, estimates, counts
type BestParts<'py> = (
    Bound<'py, PyAny>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<i64>>,
);
/// ids, query after query, and how many each has
type Asked<'py> = (Bound<'py, PyAny>, Bound<'py, PyArray1<i64>>);
/// ids, estimates, counts
type RestParts<'py> = (Bound<'py, PyAny>, Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<i64>>);

/// How the index is searched between rounds: probes, rescore, slack.
type Effort = (Option<usize>, Option<usize>, Option<f32>);

#[pymethods]
impl CurSearch {
    #[new]
    #[pyo3(signature = (index, count, *, init, vectors, toward, rounds, ridge, noise, weight, seed, only, exclude))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords are Rust's arguments")]
    fn new(
        index: &Index,
        count: usize,
        init: Vec<Bound<'_, PyAny>>,
        vectors: Option<PyReadonlyArray2<'_, f64>>,
        toward: bool,
        rounds: Vec<(usize, Option<f64>)>,
        ridge: f64,
        noise: f64,
        weight: f64,
        seed: u64,
        only: Vec<Bound<'_, PyAny>>,
        exclude: Vec<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let index = index.now();
        let mut items = Vec::with_capacity(init.len());
        for called in Called::several(&init, "init")? {
            let found = index.positions(called.names()?).map_err(to_python)?;
            items.push(found.into_iter().flatten().collect());
        }
        let vectors = match &vectors {
            Some(rows) if rows.shape()[1] > 0 => {
                rows.as_slice()?.chunks_exact(rows.shape()[1]).map(<[f64]>::to_vec).collect()
            }
            _ => Vec::new(),
        };
        let start = Start { items, vectors };
        let ridge = Ridge::of(ridge, noise, index.storage());
        let rounds = rounds.into_iter().map(|(items, temperature)| Round { items, temperature });
        let plan = Plan { rounds: rounds.collect(), ridge, weight, toward, seed };
        let (only, exclude) = several(&only, &exclude)?;
        let (only, except) = (picks(&only)?, picks(&exclude)?);
        let filters = dense::Search { only: &only, except: &except, ..dense::Search::default() };
        let search = Search::new(&index, count, &start, plan, &filters).map_err(to_python)?;
        Ok(Self { index, count, search: Mutex::new(search) })
    }

    /// Return the ids to score next, query after query, and how many each has; None once it is over.
    #[pyo3(signature = (*, only, exclude, effort, threads))]
    fn ask<'py>(
        &self,
        py: Python<'py>,
        only: Vec<Bound<'py, PyAny>>,
        exclude: Vec<Bound<'py, PyAny>>,
        effort: Effort,
        threads: Option<usize>,
    ) -> PyResult<Option<Asked<'py>>> {
        let (only, exclude) = several(&only, &exclude)?;
        let (only, except) = (picks(&only)?, picks(&exclude)?);
        let filters = aimed(&only, &except, effort);
        let asked = enter_by_work(py, self.work(&filters), threads, |threads, cancel| {
            let mut search = self.search();
            let asked = search.ask(&filters, threads, cancel)?;
            Ok(asked.map(|lists| {
                let counts: Vec<i64> = lists.iter().map(|list| list.len() as i64).collect();
                (lists.concat(), counts)
            }))
        })?;
        let Some((positions, counts)) = asked else { return Ok(None) };
        let ids = into_ids(py, self.index.names_at(&positions).map_err(to_python)?)?;
        Ok(Some((ids, counts.into_pyarray(py))))
    }

    /// Take the scores of what was asked for.
    fn tell(&self, py: Python<'_>, scores: PyReadonlyArray1<'_, f64>) -> PyResult<()> {
        let scores = scores.as_slice()?;
        enter_here(py, |_| self.search().tell(scores))
    }

    /// Return ids, scores and estimates of the `k` best, and how many each query has.
    fn best<'py>(
        &self,
        py: Python<'py>,
        k: usize,
        threads: Option<usize>,
    ) -> PyResult<BestParts<'py>> {
        let work = self.work(&dense::Search { k, ..dense::Search::default() });
        let best = enter_by_work(py, work, threads, |threads, cancel| {
            self.search().best(k, threads, cancel)
        })?;
        let (mut scores, mut estimates) = (Vec::new(), Vec::new());
        for one in &best {
            scores.extend(padded(&one.scores, f64::NEG_INFINITY, k));
            estimates.extend(padded(&one.estimates, f64::NAN, k));
        }
        let lists: Vec<_> = best.iter().map(|one| one.items.clone()).collect();
        let (ids, counts) = self.name(py, &lists, k)?;
        let shape = [best.len(), k];
        Ok((
            ids,
            scores.into_pyarray(py).reshape(shape)?,
            estimates.into_pyarray(py).reshape(shape)?,
            counts.into_pyarray(py),
        ))
    }

    /// Return ids and estimates of the `k` best that were not scored, and how many each query has.
    #[pyo3(signature = (k, *, only, exclude, effort, threads))]
    fn rest<'py>(
        &self,
        py: Python<'py>,
        k: usize,
        only: Vec<Bound<'py, PyAny>>,
        exclude: Vec<Bound<'py, PyAny>>,
        effort: Effort,
        threads: Option<usize>,
    ) -> PyResult<RestParts<'py>> {
        let (only, exclude) = several(&only, &exclude)?;
        let (only, except) = (picks(&only)?, picks(&exclude)?);
        let filters = aimed(&only, &except, effort);
        let rest = enter_by_work(py, self.work(&filters), threads, |threads, cancel| {
            self.search().rest(k, &filters, threads, cancel)
        })?;
        let mut estimates = Vec::with_capacity(rest.len() * k);
        for list in &rest {
            let own: Vec<f32> = list.iter().map(|item| item.score).collect();
            estimates.extend(padded(&own, f32::NEG_INFINITY, k));
        }
        let position =
            |list: &Vec<Scored>| list.iter().map(|item| item.id as usize).collect::<Vec<_>>();
        let lists: Vec<_> = rest.iter().map(position).collect();
        let (ids, counts) = self.name(py, &lists, k)?;
        let estimates = estimates.into_pyarray(py).reshape([rest.len(), k])?;
        Ok((ids, estimates, counts.into_pyarray(py)))
    }

    /// Return what every query became in the space of the factors.
    fn vectors<'py>(
        &self,
        py: Python<'py>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let work = self.work(&dense::Search::default());
        let vectors = enter_by_work(py, work, threads, |threads, cancel| {
            self.search().vectors(threads, cancel)
        })?;
        vectors.concat().into_pyarray(py).reshape([self.count, self.index.dim()])
    }
}

impl CurSearch {
    fn search(&self) -> MutexGuard<'_, Search> {
        self.search.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// About how many multiplications a round takes; the regression of a hundred items with it.
    fn work(&self, filters: &dense::Search<'_>) -> usize {
        let solve = self.count.saturating_mul(100 * 100 * self.index.dim());
        self.index.work(self.count, filters).saturating_add(solve)
    }

    /// The ids of `lists`, `k` places each, and how many each has.
    fn name<'py>(
        &self,
        py: Python<'py>,
        lists: &[Vec<usize>],
        k: usize,
    ) -> PyResult<(Bound<'py, PyAny>, Vec<i64>)> {
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for list in lists {
            match self.index.names_at(list).map_err(to_python)? {
                HitIds::Numbers(own) => numbers.extend(padded(&own, -1, k)),
                HitIds::Text(own) => texts.extend(padded(&own, None, k)),
            }
        }
        let ids = match self.index.id_kind() {
            IdKind::Text => PyList::new(py, texts)?.into_any(),
            _ => numbers.into_pyarray(py).reshape([lists.len(), k])?.into_any(),
        };
        Ok((ids, lists.iter().map(|list| list.len() as i64).collect()))
    }
}

fn several<'py>(
    only: &[Bound<'py, PyAny>],
    exclude: &[Bound<'py, PyAny>],
) -> PyResult<(Vec<Called<'py>>, Vec<Called<'py>>)> {
    Ok((Called::several(only, "filter")?, Called::several(exclude, "exclude")?))
}

fn aimed<'a>(only: &'a [Pick<'a>], except: &'a [Pick<'a>], effort: Effort) -> dense::Search<'a> {
    let (probes, rescore, slack) = effort;
    dense::Search { probes, rescore, slack, only, except, ..dense::Search::default() }
}

fn padded<T: Copy>(own: &[T], filling: T, k: usize) -> impl Iterator<Item = T> {
    own.iter().copied().chain(std::iter::repeat(filling)).take(k)
}

fn into_ids<'py>(py: Python<'py>, ids: HitIds<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match ids {
        HitIds::Numbers(numbers) => numbers.into_pyarray(py).into_any(),
        HitIds::Text(texts) => PyList::new(py, texts)?.into_any(),
    })
}
