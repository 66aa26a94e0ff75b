//! PromQL as far as our queries go: what it does not know it refuses, so that a slip of the pen is
//! no query that silently finds nothing.

/// One metric in a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    pub metric: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
    /// The labels that the aggregations around it group by.
    pub by: Vec<String>,
    /// The functions around it, outermost first.
    pub inside: Vec<String>,
    /// Whether it takes a range of time.
    pub ranged: bool,
}

const AGGREGATIONS: [&str; 3] = ["sum", "max", "min"];
/// Functions, and whether they take a range.
const FUNCTIONS: [(&str, bool); 4] =
    [("rate", true), ("increase", true), ("min_over_time", true), ("histogram_quantile", false)];

/// Every metric a query asks for.
pub fn selectors(query: &str) -> Vec<Selector> {
    let mut reader = Reader { words: words(query), at: 0, found: Vec::new(), query };
    reader.comparison(&[], &[]);
    assert_eq!(reader.at, reader.words.len(), "{query}: something is left over");
    reader.found
}

/// Names, numbers, texts in quotes, and signs.
fn words(query: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '$');
        let length = match first {
            '"' => 2 + rest[1..].find('"').unwrap_or_else(|| panic!("{query}: an open quote")),
            c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            _ if ["=~", "!~", "!=", "==", ">=", "<="].iter().any(|s| rest.starts_with(s)) => 2,
            _ => first.len_utf8(),
        };
        words.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    words
}

struct Reader<'a> {
    words: Vec<String>,
    at: usize,
    found: Vec<Selector>,
    query: &'a str,
}

impl Reader<'_> {
    fn peek(&self) -> &str {
        self.words.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        let word = self.peek().to_owned();
        assert!(!word.is_empty(), "{}: ends too early", self.query);
        self.at += 1;
        word
    }

    fn expect(&mut self, sign: &str) {
        let word = self.next();
        assert_eq!(word, sign, "{}", self.query);
    }

    fn comparison(&mut self, by: &[String], inside: &[String]) {
        self.value(by, inside);
        if [">", "<", "==", ">=", "<="].contains(&self.peek()) {
            self.next();
            self.number();
        }
    }

    fn number(&mut self) {
        let word = self.next();
        assert!(word.parse::<f64>().is_ok(), "{}: {word} is no number", self.query);
    }

    fn value(&mut self, by: &[String], inside: &[String]) {
        let name = self.next();
        if AGGREGATIONS.contains(&name.as_str()) {
            let mut by = by.to_vec();
            if self.peek() == "by" {
                self.next();
                by.extend(self.list("(", ")", |reader| reader.next()));
            }
            self.expect("(");
            self.comparison(&by, &[inside, &[name]].concat());
            self.expect(")");
        } else if let Some((_, ranged)) = FUNCTIONS.iter().find(|(known, _)| *known == name) {
            self.expect("(");
            if name == "histogram_quantile" {
                self.number();
                self.expect(",");
            }
            self.comparison(by, &[inside, std::slice::from_ref(&name)].concat());
            self.expect(")");
            let range = self.found.last().is_some_and(|selector| selector.ranged);
            assert!(range || !ranged, "{}: {name} needs a range", self.query);
        } else {
            self.selector(name, by, inside);
        }
    }

    fn selector(&mut self, metric: String, by: &[String], inside: &[String]) {
        assert!(metric.starts_with("onceward_"), "{}: {metric} is not known", self.query);
        let mut matchers = Vec::new();
        if self.peek() == "{" {
            matchers = self.list("{", "}", |reader| {
                let (label, sign, text) = (reader.next(), reader.next(), reader.next());
                assert!(["=", "!=", "=~", "!~"].contains(&sign.as_str()), "{}", reader.query);
                assert!(text.starts_with('"'), "{}: {text} is no text", reader.query);
                (label, sign, text.trim_matches('"').to_owned())
            });
        }
        let ranged = self.peek() == "[";
        if ranged {
            self.next();
            let range = self.next();
            let is_range = range.starts_with("$__") || humantime::parse_duration(&range).is_ok();
            assert!(is_range, "{}: {range} is no range", self.query);
            self.expect("]");
        }
        let (by, inside) = (by.to_vec(), inside.to_vec());
        self.found.push(Selector { metric, matchers, by, inside, ranged });
    }

    fn list<T>(&mut self, open: &str, close: &str, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        self.expect(open);
        let mut list = vec![one(self)];
        while self.peek() == "," {
            self.next();
            list.push(one(self));
        }
        self.expect(close);
        list
    }
}

#[test]
fn queries_are_read_and_slips_are_refused() {
    let query = r#"sum by (job, kind) (rate(onceward_a_total{kind!="x", b=~"$b"}[5m])) > 0"#;
    let found = selectors(query);
    let matcher = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(
        found,
        [Selector {
            metric: "onceward_a_total".into(),
            matchers: vec![matcher("kind", "!=", "x"), matcher("b", "=~", "$b")],
            by: vec!["job".into(), "kind".into()],
            inside: vec!["sum".into(), "rate".into()],
            ranged: true,
        }]
    );
    for slip in [
        "sum(onceward_a",
        "rate(onceward_a)",
        "rate(onceward_a[soon])",
        "onceward_a{b}",
        "onceward_a{b=\"c\"} > x",
        "summ(onceward_a)",
        "onceward_a onceward_b",
        "onceward_a > 0 > 1",
        "up == 0",
    ] {
        let slipped = std::panic::catch_unwind(|| selectors(slip));
        assert!(slipped.is_err(), "{slip}");
    }
}
