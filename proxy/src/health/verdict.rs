//! When checks change what is thought of an endpoint. Pure.

use patchgate_config::balance::HealthCheck;

/// What is thought of an endpoint, and what speaks against it.
#[derive(Debug)]
pub(super) struct Verdict {
    healthy: bool,
    /// Results in a row that say otherwise.
    against: u32,
    /// Whether any check has ended: the first one says at once what is thought.
    asked: bool,
}

impl Verdict {
    pub(super) fn new(healthy: bool) -> Self {
        Self { healthy, against: 0, asked: false }
    }

    /// Notes a result; what is thought from now on, if that is something else.
    pub(super) fn note(&mut self, passed: bool, check: &HealthCheck) -> Option<bool> {
        let first = !std::mem::replace(&mut self.asked, true);
        if passed == self.healthy {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let enough = if passed { check.healthy_threshold } else { check.unhealthy_threshold };
        if !first && self.against < enough {
            return None;
        }
        self.healthy = passed;
        self.against = 0;
        Some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(results: &str) -> String {
        let check = HealthCheck { healthy_threshold: 2, unhealthy_threshold: 3, ..HealthCheck::default() };
        let mut verdict = Verdict::new(true);
        let noted = results.chars().map(|result| match verdict.note(result == '+', &check) {
            Some(true) => 'H',
            Some(false) => 'U',
            None => '.',
        });
        noted.collect()
    }

    #[test]
    fn only_results_in_a_row_change_what_is_thought() {
        let table = [
            ("+++", "..."),
            ("+---", "...U"),
            ("+--+--+---", ".........U"),
            // The first one says it at once.
            ("-", "U"),
            ("-+-++", "U...H"),
            ("-++---", "U.H..U"),
        ];
        for (results, wanted) in table {
            assert_eq!(changes(results), wanted, "{results}");
        }
    }
}
