//! Just enough SVG for two plots: a drawing with lines, paths and labels, and axes that map values to it.
//!
//! All text is escaped and all numbers are rounded to a tenth of a pixel; values outside an axis are drawn at its end.

use std::fmt::Write;

/// A drawing under construction.
#[derive(Debug)]
pub struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

/// Where a label stands relative to its point.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// Maps values to pixels, linearly or by their logarithm.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    low_pixel: f64,
    high_pixel: f64,
    logarithmic: bool,
}

impl Drawing {
    /// A white drawing of this many pixels.
    pub fn new(width: f64, height: f64) -> Drawing {
        let mut drawing = Drawing { width, height, body: String::new() };
        let size = format!("width=\"{width:.0}\" height=\"{height:.0}\"");
        drawing.push(format_args!("<rect {size} fill=\"#ffffff\"/>"));
        drawing
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        self.push(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{}\" stroke-width=\"{width:.1}\"/>",
            from.0,
            from.1,
            to.0,
            to.1,
            escape(colour)
        ));
    }

    /// A line through all points.
    pub fn path(&mut self, points: impl IntoIterator<Item = (f64, f64)>, colour: &str) {
        let mut list = String::new();
        for (x, y) in points {
            let _infallible = write!(list, "{x:.1},{y:.1} ");
        }
        if list.is_empty() {
            return;
        }
        self.push(format_args!(
            "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" stroke-linejoin=\"round\" points=\"{}\"/>",
            escape(colour),
            list.trim_end()
        ));
    }

    /// A label.
    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, colour: &str, size: f64, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size:.0}\" fill=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            at.0,
            at.1,
            escape(colour),
            escape(text)
        ));
    }

    /// The file's text.
    pub fn finish(self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" \
             width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             font-family=\"sans-serif\">\n{body}</svg>\n",
            width = self.width,
            height = self.height,
            body = self.body
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        let _infallible = writeln!(self.body, "{element}");
    }
}

impl Axis {
    /// Equal distances for equal differences.
    pub fn linear(low: f64, high: f64, low_pixel: f64, high_pixel: f64) -> Axis {
        assert!(low < high, "an axis has a length");
        Axis { low, high, low_pixel, high_pixel, logarithmic: false }
    }

    /// Equal distances for equal ratios; both ends are above zero.
    pub fn logarithmic(low: f64, high: f64, low_pixel: f64, high_pixel: f64) -> Axis {
        assert!(low > 0.0, "zero has no logarithm");
        assert!(low < high, "an axis has a length");
        Axis { low: low.ln(), high: high.ln(), low_pixel, high_pixel, logarithmic: true }
    }

    /// The pixel of a value, at the end of the axis when it is outside.
    pub fn pixel(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.low_pixel + share * (self.high_pixel - self.low_pixel)
    }
}

/// The least power of ten that is at least `value`, and at least `least`.
pub fn decade_above(value: f64, least: f64) -> f64 {
    10_f64.powf(value.max(least).log10().ceil())
}

/// About `count` round numbers from 0 to above `high`; the last is the end of an axis that holds `high`.
pub fn round_ticks(high: f64, count: u32) -> Vec<f64> {
    let rough = high.max(1e-9) / f64::from(count);
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|&step| step >= rough);
    let step = step.unwrap_or(10.0 * magnitude);
    let ticks = (high.max(1e-9) / step).ceil() as u32;
    (0..=ticks.max(1)).map(|tick| f64::from(tick) * step).collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Checks that every element is closed in order, that attributes are quoted and that no bare `<` or `&` is left;
    /// returns how many elements there are.
    pub(crate) fn check_well_formed(text: &str) -> usize {
        let body = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").expect("the declaration");
        let (mut open, mut elements) = (Vec::new(), 0);
        let mut rest = body.trim_start();
        while let Some(start) = rest.find('<') {
            check_entities(&rest[..start]);
            let end = start + rest[start..].find('>').expect("every < has a >");
            let tag = &rest[start + 1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "closed in order");
                continue;
            }
            elements += 1;
            let name = tag.split([' ', '/']).next().expect("a name");
            let attributes = tag[name.len()..].trim_end_matches('/');
            assert_eq!(attributes.matches('"').count() % 2, 0, "quotes come in pairs: {tag}");
            attributes.split('"').skip(1).step_by(2).for_each(check_entities);
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "a number is missing");
        elements
    }

    fn check_entities(text: &str) {
        for (at, _) in text.match_indices('&') {
            let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
            assert!(known.iter().any(|entity| text[at..].starts_with(entity)), "a bare & in {text}");
        }
    }

    #[test]
    fn drawings_are_well_formed_whatever_the_text() {
        let mut drawing = Drawing::new(100.0, 50.0);
        drawing.line((0.0, 0.0), (1.0, 1.0), "#000", 1.0);
        drawing.path([(0.0, 0.0), (1.0, 2.0)], "red\"/><script>");
        drawing.path([], "red");
        drawing.text((1.0, 1.0), Anchor::Middle, "#000", 10.0, "a < b && \"c\" 'd' </text>");
        assert_eq!(check_well_formed(&drawing.finish()), 5);
    }

    #[test]
    fn axes_map_and_clamp() {
        let axis = Axis::linear(0.0, 10.0, 100.0, 0.0);
        assert_eq!([axis.pixel(0.0), axis.pixel(5.0), axis.pixel(99.0)], [100.0, 50.0, 0.0]);
        let axis = Axis::logarithmic(1.0, 100.0, 0.0, 10.0);
        assert!((axis.pixel(10.0) - 5.0).abs() < 1e-9);
        assert_eq!([axis.pixel(0.0), axis.pixel(-1.0), axis.pixel(1e9)], [0.0, 0.0, 10.0]);
    }

    #[test]
    fn ticks_are_round_and_hold_the_value() {
        assert_eq!(round_ticks(950_000.0, 5), [0.0, 200_000.0, 400_000.0, 600_000.0, 800_000.0, 1_000_000.0]);
        assert_eq!(decade_above(120.0, 1.0), 1000.0);
        for high in [0.0, 0.3, 1.0, 7.0, 99.0, 123_456.0] {
            let ticks = round_ticks(high, 5);
            assert!(ticks.len() >= 2 && ticks.len() <= 8, "{high}: {ticks:?}");
            assert!(*ticks.last().expect("ticks") >= high);
        }
    }
}
