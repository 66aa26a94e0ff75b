//! The figures as a table in Markdown.

use crate::BenchError;
use crate::contender::Kind;
use crate::figures::{Figures, Sample, Spread};
use crate::workload::{self, How, Workload};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const HEAD: &str = "| workload | through | requests/s | CPU | of nginx + Lua | of nginx | Redis CPU \
                    | commands | p50 | p99 | memory |\n|---|---|---|---|---|---|---|---|---|---|---|\n";

/// One line for each contender at each workload.
pub(crate) fn markdown(figures: &Figures) -> String {
    let mut table = HEAD.to_owned();
    for workload in workload::ALL {
        for kind in workload.contenders {
            row(&mut table, figures, workload, *kind);
        }
    }
    table
}

fn row(table: &mut String, figures: &Figures, workload: &Workload, kind: Kind) {
    let spread = |figure| figures.spread(workload.name, kind, figure);
    let name = match workload.how {
        How::Burst => {
            let hits = spread(|sample: &Sample| sample.hits);
            let hits = hits.map_or(String::new(), |hits| format!(": upstream {}x", hits.most));
            format!("{}{hits}", workload.name)
        }
        _ => workload.name.to_owned(),
    };
    let ratio = |other| match kind == other {
        true => None,
        false => figures.ratio(workload.name, (kind, other), |sample| sample.cpu),
    };
    let ratio = |other| ratio(other).map_or(String::new(), |ratio| format!("{ratio:.2}x"));
    // Writing to a String cannot fail.
    let _ = if figures.is_unmeasured(kind) {
        writeln!(table, "| {name} | {} | not measured | | | | | | | | |", kind.name())
    } else {
        writeln!(
            table,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            kind.name(),
            cell(spread(|sample| sample.per_second), 0, ""),
            cell(spread(|sample| sample.cpu), 1, " us"),
            ratio(Kind::NginxLua),
            ratio(Kind::Nginx),
            cell(spread(|sample| sample.redis_cpu), 1, " us"),
            spread(|sample| sample.commands)
                .map_or(String::new(), |commands| format!("{:.2}", commands.median)),
            cell(spread(|sample| sample.p50).map(in_ms), 2, " ms"),
            cell(spread(|sample| sample.p99).map(in_ms), 2, " ms"),
            cell(spread(|sample| sample.memory), 0, " MB"),
        )
    };
}

fn in_ms(us: Spread) -> Spread {
    Spread { median: us.median / 1e3, least: us.least / 1e3, most: us.most / 1e3 }
}

/// The median, the least and the most.
fn cell(spread: Option<Spread>, digits: usize, unit: &str) -> String {
    spread.map_or(String::new(), |Spread { median, least, most }| {
        format!("{median:.digits$}{unit} ({least:.digits$}-{most:.digits$})")
    })
}

/// Puts a table between a page's marks, which name the command that writes it.
pub(crate) fn put(page: &Path, command: &str, table: &str) -> Result<(), BenchError> {
    let begin = format!("<!-- {command}: written by `make {command}` -->\n");
    let end = format!("<!-- {command}: end -->\n");
    let text = fs::read_to_string(page)?;
    let marked = text.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some(format!("{before}{begin}\n{}\n\n{end}{after}", table.trim()))
    });
    let marked = marked.ok_or_else(|| BenchError::Wrong("the page has no marks".into()))?;
    Ok(fs::write(page, marked)?)
}
