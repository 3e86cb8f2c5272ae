//! "Did you mean …": the known name that is nearest to one that is not.

/// The nearest of `known` where one is near, else a list of them after `what`.
pub(crate) fn suggest(found: &str, known: &[&str], what: &str) -> String {
    let nearest = known.iter().map(|name| (distance(found, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => format!("did you mean `{name}`?"),
        _ => format!("{what}: {}", list(known)),
    }
}

/// Names in quotes; of a long list the beginning.
pub(crate) fn list(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

/// Levenshtein's, with a swap of neighbours counted once; ignores case and `-` versus `_`.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| -> Vec<char> {
        text.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_near() {
        for (found, meant) in [("adress", "address"), ("lsiteners", "listeners"), ("path-Prefix", "path_prefix")] {
            assert_eq!(suggest(found, &["via", meant], "known"), format!("did you mean `{meant}`?"));
        }
    }

    #[test]
    fn another_word_is_not() {
        assert_eq!(suggest("weight", &["via", "percent"], "known"), "known: `via`, `percent`");
    }

    #[test]
    fn a_long_list_is_cut() {
        assert!(list(&["a"; 13]).ends_with("`a`, …"));
        assert!(list(&["a"; 12]).ends_with("`a`"));
    }
}
