//! LIKE: `%` stands for any characters, `_` for one, a backslash takes the next character literally.

/// Whether the whole of `input` matches `pattern`. On a mismatch only the last `%` has to be tried again one
/// character further on, so the cost is at most length times length and needs no stack.
pub(super) fn matches(input: &str, pattern: &str, ignore_case: bool) -> bool {
    let mut text = input.chars();
    let mut wanted = pattern.chars();
    // After the last `%`: the pattern behind it, and the text from where it may yet begin.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let mut rest = wanted.clone();
        let matched = match (rest.next(), text.clone().next()) {
            (None, None) => return true,
            (Some('%'), _) => {
                wanted = rest;
                retry = Some((wanted.clone(), text.clone()));
                continue;
            }
            (Some('_'), Some(_)) => true,
            // A backslash at the very end stands for itself.
            (Some('\\'), Some(found)) => same(rest.next().unwrap_or('\\'), found, ignore_case),
            (Some(literal), Some(found)) => same(literal, found, ignore_case),
            (_, None) | (None, _) => false,
        };
        if matched {
            text.next();
            wanted = rest;
            continue;
        }
        let Some((behind, begin)) = &mut retry else {
            return false;
        };
        if begin.next().is_none() {
            return false;
        }
        wanted = behind.clone();
        text = begin.clone();
    }
}

fn same(wanted: char, found: char, ignore_case: bool) -> bool {
    wanted == found || (ignore_case && wanted.to_lowercase().eq(found.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::matches;

    /// The definition, by recursion over both texts.
    fn reference(input: &[char], pattern: &[char]) -> bool {
        match pattern {
            [] => input.is_empty(),
            ['%', rest @ ..] => (0..=input.len()).any(|skip| reference(&input[skip..], rest)),
            ['_', rest @ ..] => !input.is_empty() && reference(&input[1..], rest),
            ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
                input.first() == Some(literal) && reference(&input[1..], rest)
            }
        }
    }

    #[test]
    fn agrees_with_the_definition() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut draw = |letters: &[char], length: usize| -> String {
                (0..random.usize(0..=length)).map(|_| letters[random.usize(..letters.len())]).collect()
            };
            let input = draw(&['a', 'b', 'é', '%'], 8);
            let pattern = draw(&['a', 'b', 'é', '%', '%', '_', '\\'], 6);
            let characters: Vec<char> = input.chars().collect();
            let wanted: Vec<char> = pattern.chars().collect();
            let expected = reference(&characters, &wanted);
            assert_eq!(matches(&input, &pattern, false), expected, "{input:?} LIKE {pattern:?}");
        }
    }

    #[test]
    fn many_wildcards_stay_cheap() {
        let input = "a".repeat(20_000);
        let pattern = "%a".repeat(500) + "b";
        assert!(!matches(&input, &pattern, false));
        assert!(matches("Straße", "sTRA_E", true));
    }
}
