//! Figures: medians of several rounds, ours interleaved with what it stands beside.

use serde::Serialize;

/// What a figure is worth against its goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The ratio must be at least this.
    AtLeast(f64),
    /// The ratio must be at most this.
    AtMost(f64),
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The number in the list of figures.
    pub number: u8,
    /// What was measured, and of what engine.
    pub figure: String,
    /// The unit of ours and beside.
    pub unit: &'static str,
    /// Ours.
    pub ours: Series,
    /// What it stands beside.
    pub beside: String,
    /// Its figure.
    pub other: Series,
    /// Ours to the other's median.
    pub ratio: f64,
    /// What the ratio should be.
    pub goal: Goal,
    /// What the ratio is known to be where the goal is out of reach (docs/performance.md).
    pub so_far: Option<f64>,
}

/// The figures of several rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// Each round's.
    pub rounds: Vec<f64>,
    /// Their median.
    pub median: f64,
    /// (greatest − smallest) / median.
    pub spread: f64,
}

impl Series {
    /// The series of these rounds.
    pub fn of(rounds: Vec<f64>) -> Self {
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => f64::NAN,
            even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        let spread = match (sorted.first(), sorted.last()) {
            (Some(least), Some(greatest)) => (greatest - least) / median,
            _ => f64::NAN,
        };
        Self { rounds, median, spread }
    }
}

impl Row {
    /// A line of rounds of ours, each with its neighbour.
    pub fn new(
        number: u8,
        figure: impl Into<String>,
        unit: &'static str,
        goal: Goal,
        beside: impl Into<String>,
        rounds: Vec<(f64, f64)>,
    ) -> Self {
        let (ours, other): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
        let (ours, other) = (Series::of(ours), Series::of(other));
        let ratio = ours.median / other.median;
        Self { number, figure: figure.into(), unit, ratio, ours, beside: beside.into(), other, goal, so_far: None }
    }

    /// With the ratio that is known while the goal is out of reach.
    pub const fn so_far(mut self, ratio: f64) -> Self {
        self.so_far = Some(ratio);
        self
    }

    /// Whether the goal is reached.
    pub fn reached(&self) -> bool {
        match self.goal {
            Goal::AtLeast(goal) => self.ratio >= goal,
            Goal::AtMost(goal) => self.ratio <= goal,
        }
    }

    /// Whether something is broken: a third of the goal, or of what is known, is not reached.
    pub fn broken(&self) -> bool {
        match self.goal {
            Goal::AtLeast(goal) => self.ratio.is_nan() || self.ratio < self.so_far.unwrap_or(goal) / 3.0,
            Goal::AtMost(goal) => self.ratio.is_nan() || self.ratio > self.so_far.unwrap_or(goal) * 3.0,
        }
    }
}

/// A number as people read it.
pub fn readable(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..1_000.0 => format!("{value:.0}"),
        _ => {
            let digits = format!("{value:.0}");
            let groups: Vec<&str> = digits
                .as_bytes()
                .rchunks(3)
                .rev()
                .map(|group| std::str::from_utf8(group).unwrap_or_default())
                .collect();
            groups.join(",")
        }
    }
}

/// The table of all lines, as Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text =
        "| # | figure | ours | beside | theirs | ratio | goal | |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for row in rows {
        let goal = match row.goal {
            Goal::AtLeast(goal) => format!("≥ {goal}"),
            Goal::AtMost(goal) => format!("≤ {goal}"),
        };
        let series =
            |series: &Series| format!("{} {} ± {:.0} %", readable(series.median), row.unit, series.spread * 50.0);
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {:.2} | {goal} | {} |\n",
            row.number,
            row.figure,
            series(&row.ours),
            row.beside,
            series(&row.other),
            row.ratio,
            if row.reached() { "reached" } else { "missed" },
        ));
    }
    text
}
