//! Patterns of service names: `*` is any text, `?` any one character, everything else itself.

/// Whether `text` is one of those that `pattern` is for. Time is bounded by the product of their lengths.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // The last star, and how far into the text it reaches: what is tried again, one character longer, on a mismatch.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&c) if c == '?' || c == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((place, reaches)) => {
                    star = Some((place, reaches + 1));
                    at = place + 1;
                    seen = reaches + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_should() {
        for (pattern, yes, no) in [
            ("*", &["", "shop", "a/b"][..], &[][..]),
            ("shop", &["shop"], &["", "shop2", "ashop", "Shop"]),
            ("shop-*", &["shop-", "shop-cart"], &["shop", "myshop-cart"]),
            ("*-api", &["x-api", "-api", "a-api-api"], &["x-api2", "api"]),
            ("s?op", &["shop", "stop"], &["sop", "shoop"]),
            ("a*b*c", &["abc", "a-b-b-c", "abcbc"], &["ab", "acb", "abcd"]),
            ("?*", &["a", "ab", "ü"], &[""]),
            ("**", &["", "x"], &[]),
        ] {
            yes.iter().for_each(|text| assert!(matches(pattern, text), "{pattern} is for {text}"));
            no.iter().for_each(|text| assert!(!matches(pattern, text), "{pattern} is not for {text}"));
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!matches(&pattern, &"a".repeat(2_000)));
    }
}
