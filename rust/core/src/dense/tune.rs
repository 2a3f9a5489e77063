//! How much work a wanted recall takes, measured on queries: a [`Curve`].
//!
//! ```text
//! the exact results of the queries
//! each effort of a grid on some of them      -> the efforts that targets choose among
//! those on all of them                       -> recall, its lower bound, cost; what targets choose
//! ```
//!
//! Cost is counted in codes and rows, never in seconds, and recall in hits, so that the same index and
//! queries give the same curve. The lower bound (one-sided, 95 %, from the spread of the queries'
//! recalls) makes room for the queries being a sample: a smaller one asks for more work.

use super::curve::{Choice, Curve, Effort, Point, WHOLE, choices};
use super::index::Index;
use super::{Cost, HitIds, IdKind, Metric, Names, Pick, Search};
use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads};

/// From one number of probes to the next; the lower bound's margin hides finer steps.
const STEP: f64 = 1.1;
/// Rows to score exactly for each result wanted.
const RESCORED: [usize; 6] = [2, 4, 6, 10, 16, 30];
/// Slack, in millionths: as many steps of 0.015 as reach from worthless to of no effect.
const SLACK_STEP: i64 = 15_000;
const SLACKS: std::ops::RangeInclusive<i64> = -1..=22;
/// One list in so many is the most that a search looks into, however late its slack would end it.
const MOST_PROBED: [usize; 3] = [32, 8, 2];
/// About so many queries choose among the efforts of the grid; all of them measure those chosen.
const CHOOSING: usize = 200;
/// Stored vectors that stand in for queries.
const STANDING_IN: usize = 400;
/// Queries whose right results are found together; bounds what that holds.
const TOGETHER: usize = 256;
/// The 95 % quantile of the normal distribution.
const Z: f64 = 1.6449;

impl Index {
    /// The curve of this index for `k` results, measured on `queries`, or else on stored vectors, each
    /// of which may not find itself. Refuses what [`Index::search`] refuses.
    pub fn measure(
        &self,
        queries: Option<MatrixRef<'_>>,
        k: usize,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Curve> {
        let sample = match queries {
            Some(queries) => {
                let all: Vec<usize> = (0..queries.rows()).collect();
                Sample { queries: queries.gather(&all), own: Own::None }
            }
            None => self.stand_ins()?,
        };
        if sample.len() == 0 {
            return Err(Error::range("queries", "at least one", 0));
        }
        let all = sample.with_truth(self, k, threads, cancel)?;
        let some = all.some(CHOOSING);
        let mut rough = Vec::new();
        for Walk { efforts, end } in self.grid(k) {
            let end = end.map(|end| some.measure(self, end, threads, cancel)).transpose()?;
            rough.extend(end);
            let mut before = 0;
            for effort in efforts {
                let point = some.measure(self, effort, threads, cancel)?;
                let grew = point.recall > before + WHOLE / 10_000;
                before = before.max(point.recall);
                rough.push(point);
                // The rest of a walk only costs more.
                let late = !grew && point.codes * 3 > self.len() as u64;
                let ended = end.is_some_and(|end| point.codes >= end.codes);
                if point.recall == WHOLE || late || ended {
                    break;
                }
            }
        }
        let mut near: Vec<Effort> = Vec::new();
        for Choice { point, fewest } in choices(rough) {
            near.extend(fewest.into_iter().chain([point]).map(|point| point.effort));
        }
        near.sort_unstable();
        near.dedup();
        let points = near.iter().map(|&effort| all.measure(self, effort, threads, cancel));
        let chosen = choices(points.collect::<Result<_>>()?);
        Ok(Curve {
            k,
            queries: all.sample.len(),
            stand_in: queries.is_none(),
            rows: self.len(),
            changed: 0,
            points: chosen.into_iter().map(|choice| choice.point).collect(),
        })
    }

    fn grid(&self, k: usize) -> Vec<Walk> {
        let lists = self.lists().unwrap_or(1);
        let mut probes = vec![1];
        while let Some(&last) = probes.last().filter(|&&last| last < lists) {
            probes.push(lists.min((last + 1).max((last as f64 * STEP) as usize)));
        }
        let mut walks = Vec::new();
        for rescore in RESCORED.map(|each| each * k) {
            let fixed = |&probes: &usize| Effort { probes, rescore, slack: None };
            walks.push(Walk { efforts: probes.iter().map(fixed).collect(), end: None });
            if self.metric() == Metric::L2 {
                continue; // slack has no effect there
            }
            for probes in MOST_PROBED.map(|part| lists.div_ceil(part)) {
                let stopped = |steps| Effort { probes, rescore, slack: Some(steps * SLACK_STEP) };
                let end = Some(fixed(&probes));
                walks.push(Walk { efforts: SLACKS.map(stopped).collect(), end });
            }
        }
        walks
    }

    /// Stored vectors, evenly from the rows in the order of their ids.
    fn stand_ins(&self) -> Result<Sample> {
        let picks = evenly(self.len(), STANDING_IN);
        match self.ids()? {
            HitIds::Numbers(ids) => {
                let own: Vec<i64> = picks.iter().map(|&i| ids[i]).collect();
                Ok(Sample { queries: self.get(Names::Numbers(&own))?, own: Own::Numbers(own) })
            }
            HitIds::Text(ids) => {
                let own = picks.iter().filter_map(|&i| ids[i].map(str::to_owned));
                let own: Vec<String> = own.collect();
                Ok(Sample { queries: self.get(Names::Text(&own))?, own: Own::Text(own) })
            }
        }
    }
}

/// Efforts that grow.
struct Walk {
    efforts: Vec<Effort>,
    /// What they grow towards.
    end: Option<Effort>,
}

/// `0..count`, or about `most` of them.
fn evenly(count: usize, most: usize) -> Vec<usize> {
    (0..count).step_by(count.div_ceil(most).max(1)).collect()
}

/// Queries, and what each is called if it is a row of the index.
struct Sample {
    queries: Matrix,
    own: Own,
}

enum Own {
    None,
    Numbers(Vec<i64>),
    Text(Vec<String>),
}

impl Sample {
    fn len(&self) -> usize {
        self.queries.view().rows()
    }

    /// What each query may not find: itself.
    fn except(&self) -> Vec<Pick<'_>> {
        match &self.own {
            Own::None => Vec::new(),
            Own::Numbers(own) => own.chunks(1).map(|id| Pick::Ids(Names::Numbers(id))).collect(),
            Own::Text(own) => own.chunks(1).map(|id| Pick::Ids(Names::Text(id))).collect(),
        }
    }

    /// These, and their right results in `index`.
    fn with_truth(
        self,
        index: &Index,
        k: usize,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Asked> {
        let except = self.except();
        let (mut truth, mut wanted) = (Ids::none(index.id_kind()), Vec::new());
        for start in (0..self.len()).step_by(TOGETHER) {
            let share = start..(start + TOGETHER).min(self.len());
            let except = if except.is_empty() { &[] } else { &except[share.clone()] };
            // All numbers of every row: neither codes nor lists take part.
            let search = Search { k, dim: Some(index.dim()), except, ..Search::default() };
            let hits = index.search(self.queries.view().slice(share), &search, threads, cancel)?;
            truth.extend(&hits.ids);
            wanted.extend(hits.counts);
        }
        drop(except);
        Ok(Asked { sample: self, truth, wanted, k })
    }
}

/// Ids of results, `k` places a query.
enum Ids {
    Numbers(Vec<i64>),
    Text(Vec<Option<String>>),
}

impl Ids {
    fn none(kind: IdKind) -> Self {
        if kind == IdKind::Text { Self::Text(Vec::new()) } else { Self::Numbers(Vec::new()) }
    }

    fn extend(&mut self, more: &HitIds<'_>) {
        match (self, more) {
            (Self::Numbers(ids), HitIds::Numbers(more)) => ids.extend(more),
            (Self::Text(ids), HitIds::Text(more)) => {
                ids.extend(more.iter().map(|id| id.map(str::to_owned)));
            }
            _ => unreachable!("an index has ids of one kind"),
        }
    }

    /// Those of the queries `picks`.
    fn gather(&self, picks: &[usize], k: usize) -> Self {
        let places = picks.iter().flat_map(|&i| i * k..(i + 1) * k);
        match self {
            Self::Numbers(ids) => Self::Numbers(places.map(|place| ids[place]).collect()),
            Self::Text(ids) => Self::Text(places.map(|place| ids[place].clone()).collect()),
        }
    }

    /// How many of `found` are among these, of query `i`.
    fn hits(&self, found: &HitIds<'_>, i: usize, k: usize) -> u64 {
        let places = i * k..(i + 1) * k;
        match (self, found) {
            (Self::Numbers(ids), HitIds::Numbers(found)) => {
                let own = &ids[places.clone()];
                found[places].iter().filter(|&&id| id >= 0 && own.contains(&id)).count() as u64
            }
            (Self::Text(ids), HitIds::Text(found)) => {
                let own = &ids[places.clone()];
                let right = |id: &str| own.iter().flatten().any(|own| own == id);
                found[places].iter().flatten().filter(|id| right(id)).count() as u64
            }
            _ => unreachable!("an index has ids of one kind"),
        }
    }
}

/// Queries and their right results.
struct Asked {
    sample: Sample,
    truth: Ids,
    /// Right results of each.
    wanted: Vec<i64>,
    k: usize,
}

impl Asked {
    /// About `most` of them.
    fn some(&self, most: usize) -> Self {
        let picks = evenly(self.wanted.len(), most);
        let own = match &self.sample.own {
            Own::None => Own::None,
            Own::Numbers(own) => Own::Numbers(picks.iter().map(|&i| own[i]).collect()),
            Own::Text(own) => Own::Text(picks.iter().map(|&i| own[i].clone()).collect()),
        };
        Self {
            sample: Sample { queries: self.sample.queries.view().gather(&picks), own },
            truth: self.truth.gather(&picks, self.k),
            wanted: picks.iter().map(|&i| self.wanted[i]).collect(),
            k: self.k,
        }
    }

    fn measure(
        &self,
        index: &Index,
        effort: Effort,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Point> {
        let except = self.sample.except();
        let search = Search { except: &except, ..effort.search(self.k) };
        let hits = index.search(self.sample.queries.view(), &search, threads, cancel)?;
        // A query without right results has found them all.
        let recalls: Vec<u64> = (0..self.wanted.len())
            .map(|i| match self.wanted[i] as u64 {
                0 => u64::from(WHOLE),
                wanted => self.truth.hits(&hits.ids, i, self.k) * u64::from(WHOLE) / wanted,
            })
            .collect();
        let count = recalls.len() as u64;
        let mean = |of: fn(&Cost) -> u64| hits.costs.iter().map(of).sum::<u64>().div_ceil(count);
        let (recall, sure) = bound(&recalls, self.k);
        let (codes, rows) = (mean(|cost| cost.codes), mean(|cost| cost.rows));
        Ok(Point { effort, recall, sure, codes, rows })
    }
}

/// The mean of `recalls`, and what the mean of all queries is at least, with 95 % confidence.
///
/// One miss more is counted than there was: queries that all found everything prove nothing certain.
fn bound(recalls: &[u64], k: usize) -> (u32, u32) {
    let count = recalls.len() as f64;
    let mean = recalls.iter().sum::<u64>() as f64 / count;
    let miss = f64::from(WHOLE) / k as f64;
    let squares: f64 = recalls.iter().map(|&recall| (recall as f64 - mean).powi(2)).sum();
    let error = ((squares + miss * miss) / count / count).sqrt();
    (mean as u32, (mean - Z * error).max(0.0) as u32)
}
