//! What happened, in a table.

const TITLES: [&str; 5] = ["what happened", "what you got", "ledger: charges", "refunds", "ok"];

/// A promise, put to the test.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) got: String,
    /// Charges of the order in the payment service's ledger.
    pub(crate) charges: usize,
    /// Refunds of it there.
    pub(crate) refunds: usize,
    pub(crate) ok: bool,
}

/// Prints all rows, as wide as they need.
pub(crate) fn print(rows: &[Row]) {
    let cells = |row: &Row| {
        let ok = if row.ok { "yes" } else { "NO" };
        [row.what, &row.got, &row.charges.to_string(), &row.refunds.to_string(), ok]
            .map(str::to_owned)
    };
    let mut lines = vec![TITLES.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let (what, got) = (width(0), width(1));
    let rule = "-".repeat(what + got + TITLES[2].len() + TITLES[3].len() + 3 + 4 * 2);
    println!("\n{rule}");
    for (number, [a, b, c, d, e]) in lines.iter().enumerate() {
        println!("{a:<what$}  {b:<got$}  {c:>15}  {d:>7}  {e}");
        if number == 0 {
            println!("{rule}");
        }
    }
    println!("{rule}");
}
