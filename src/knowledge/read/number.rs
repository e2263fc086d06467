//! Numbers of a workbook as a person sees them: `0.15` under the format `0%` is `15%`.

/// A number under a format code; the codes that only few use show it plainly.
pub fn show(value: f64, code: &str) -> String {
    // Positive; negative; zero; text. The first tells the shape, and the sign is written plainly; one for
    // zero may be words alone.
    if value == 0.0
        && let Some(words) = code.split(';').nth(2).and_then(words)
    {
        return words;
    }
    match Shape::of(code.split(';').next().unwrap_or_default()) {
        Some(shape) => shape.show(value),
        None => plain(value),
    }
}

/// The text of a part that shows no digits (`"免费"`).
fn words(part: &str) -> Option<String> {
    let quoted = part.trim().strip_prefix('"')?.strip_suffix('"')?;
    (!quoted.is_empty() && !quoted.contains('"')).then(|| quoted.to_owned())
}

/// At most the fifteen digits that a spreadsheet keeps, so that 0.1 + 0.2 is 0.3.
fn plain(value: f64) -> String {
    let kept: f64 = format!("{value:.14e}").parse().unwrap_or(value);
    format!("{kept}")
}

/// What a format code does to a number.
#[derive(Debug, Default)]
struct Shape {
    before: String,
    after: String,
    decimals: usize,
    /// Of these, how many stay when they are zero.
    fixed: usize,
    thousands: bool,
    /// Commas behind the last digit: each shows a thousandth.
    scaled: u8,
    percent: bool,
}

impl Shape {
    fn of(code: &str) -> Option<Self> {
        let mut shape = Self::default();
        let (mut digits, mut point) = (false, false);
        let mut chars = code.chars();
        while let Some(c) = chars.next() {
            match c {
                '0' | '#' | '?' => {
                    digits = true;
                    // What looked like scaling stands between digits.
                    shape.thousands |= std::mem::take(&mut shape.scaled) > 0;
                    shape.decimals += usize::from(point);
                    shape.fixed += usize::from(point && c == '0');
                }
                '.' if digits => point = true,
                ',' if digits => shape.scaled = shape.scaled.saturating_add(1),
                '%' => {
                    shape.percent = true;
                    shape.put('%', digits);
                }
                '"' => chars.by_ref().take_while(|&c| c != '"').for_each(|c| shape.put(c, digits)),
                '\\' => shape.put(chars.next()?, digits),
                // Room as wide as the next character; the next character as often as there is room.
                '_' | '*' => drop(chars.next()),
                // `[$¥-804]` is a currency, `[Red]` and `[>100]` are not shown.
                '[' => {
                    let inside: String = chars.by_ref().take_while(|&c| c != ']').collect();
                    let currency = inside.strip_prefix('$').and_then(|rest| rest.split('-').next()).unwrap_or_default();
                    currency.chars().for_each(|c| shape.put(c, digits));
                }
                ' ' | '$' | '¥' | '￥' | '€' | '£' | '-' | '+' | '(' | ')' | ':' => shape.put(c, digits),
                c if !c.is_ascii() => shape.put(c, digits),
                _ => return None,
            }
        }
        digits.then_some(shape)
    }

    fn put(&mut self, c: char, after: bool) {
        if after { self.after.push(c) } else { self.before.push(c) }
    }

    fn show(&self, value: f64) -> String {
        let value = if self.percent { value * 100.0 } else { value };
        let value = value / 1000_f64.powi(self.scaled.into());
        let text = format!("{:.*}", self.decimals, value.abs());
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let zeros = fraction.len() - fraction.trim_end_matches('0').len();
        let fraction = &fraction[..fraction.len() - zeros.min(self.decimals - self.fixed)];
        let whole = if self.thousands { grouped(whole) } else { whole.to_owned() };
        let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        let sign = if value < 0.0 && !is_zero { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{whole}{point}{fraction}{}", self.before, self.after).trim().to_owned()
    }
}

fn grouped(whole: &str) -> String {
    let mut out = String::with_capacity(whole.len() * 4 / 3);
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_a_person_sees_them() {
        for (value, code, shown) in [
            (0.15, "0%", "15%"),
            (0.0525, "0.00%", "5.25%"),
            (60_000.0, "#,##0", "60,000"),
            (1_234_567.5, "#,##0.00", "1,234,567.50"),
            (500.0, "\"SGD\" #,##0", "SGD 500"),
            (99.0, "[$¥-804]#,##0.00", "¥99.00"),
            (7.0, "0\"天\"", "7天"),
            (7.0, "0天", "7天"),
            (-3.5, "#,##0.00_);(#,##0.00)", "-3.50"),
            (1.5, "0.##", "1.5"),
            (2.0, "0.##", "2"),
            (-0.001, "0.00", "0.00"),
            (0.1 + 0.2, "General", "0.3"),
            (6_901_234_567_892.0, "General", "6901234567892"),
            (15.0, "General", "15"),
            (15.25, "@", "15.25"),
            (0.000_012, "0.00E+00", "0.000012"),
            (0.5, "# ?/?", "0.5"),
            (60_000.0, "#,##0,\"k\"", "60k"),
            (1_234_567.0, "#,##0,\"k\"", "1,235k"),
            (2_500_000.0, "0.0,,\"M\"", "2.5M"),
            (0.0, "0;-0;\"免费\"", "免费"),
            (0.0, "0\"元\";;\"免费\"", "免费"),
            (5.0, "0\"元\";;\"免费\"", "5元"),
            (0.0, ";;\"免费\"", "免费"),
        ] {
            assert_eq!(show(value, code), shown, "{value} as {code}");
        }
    }
}
