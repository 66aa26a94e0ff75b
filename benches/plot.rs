//! CPU a request, as bars, in SVG.

use crate::contender::Kind;
use crate::figures::{Figures, Sample, Spread};
use std::fmt::Write;

/// One bar: what it is called, which workload and contender it shows, its colour.
const BARS: [(&str, &str, Kind, &str); 11] = [
    ("not protected: nginx", "not protected", Kind::Nginx, GREY),
    ("not protected: Onceward", "not protected", Kind::Onceward, BLUE),
    ("first: nginx, no idempotency", "first", Kind::Nginx, GREY),
    ("first: nginx + Lua + Redis", "first", Kind::NginxLua, ORANGE),
    ("first: nginx + Lua, resty.redis", "first", Kind::NginxResty, ORANGE),
    ("first: Onceward", "first", Kind::Onceward, BLUE),
    ("duplicate: nginx + Lua + Redis", "duplicate", Kind::NginxLua, ORANGE),
    ("duplicate: nginx + Lua, resty.redis", "duplicate", Kind::NginxResty, ORANGE),
    ("duplicate: Onceward, from Redis", "duplicate", Kind::OncewardThroughRedis, BLUE),
    ("duplicate: Onceward, from memory", "duplicate", Kind::Onceward, BLUE),
    ("10 % duplicates: Onceward", "10 % duplicates", Kind::Onceward, BLUE),
];

// Told apart without seeing colour too: they differ in lightness.
const GREY: &str = "#b0b0b0";
const ORANGE: &str = "#d98c2b";
const BLUE: &str = "#1f4e8c";

const WIDTH: f64 = 760.0;
const LEFT: f64 = 240.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 46.0;
const BAR: f64 = 20.0;
const GAP: f64 = 10.0;

/// The drawing; the proxy's CPU in full colour, that of Redis behind it lighter, the least and the
/// most as a line.
pub(crate) fn svg(figures: &Figures) -> String {
    let shown: Vec<_> = BARS
        .iter()
        .filter_map(|(label, workload, kind, colour)| {
            let of = |figure: fn(&Sample) -> Option<f64>| figures.spread(workload, *kind, figure);
            Some((label, of(|s| s.cpu)?, of(|s| s.redis_cpu), colour))
        })
        .collect();
    let end = |(_, cpu, redis, _): &(_, Spread, Option<Spread>, _)| {
        cpu.most + redis.map_or(0.0, |redis| redis.median)
    };
    let longest = shown.iter().map(end).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / longest;
    let height = TOP + shown.len() as f64 * (BAR + GAP) + GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"24\" font-size=\"15\">CPU a request, us: the proxy, and Redis behind \
         it (lighter); lines: least and most of all repeats</text>\n"
    );
    for (index, (label, cpu, redis, colour)) in shown.iter().enumerate() {
        let top = TOP + index as f64 * (BAR + GAP);
        let (middle, text) = (top + BAR / 2.0, top + BAR - 5.0);
        let width = cpu.median * scale;
        let (least, most) = (LEFT + cpu.least * scale, LEFT + cpu.most * scale);
        let redis_width = redis.map_or(0.0, |redis| redis.median * scale);
        let told = match redis {
            Some(redis) => format!("{:.1} + {:.1}", cpu.median, redis.median),
            None => format!("{:.1}", cpu.median),
        };
        let at = (LEFT + width + redis_width).max(most) + 6.0;
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{label}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <rect x=\"{:.1}\" y=\"{top}\" width=\"{redis_width:.1}\" height=\"{BAR}\" \
             fill=\"{colour}\" opacity=\"0.4\"/>\
             <line x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{middle}\" y2=\"{middle}\" \
             stroke=\"black\"/><text x=\"{at:.1}\" y=\"{text}\">{told}</text>",
            LEFT - 8.0,
            LEFT + width,
        );
    }
    svg.push_str("</svg>\n");
    svg
}
