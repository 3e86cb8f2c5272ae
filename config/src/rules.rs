//! Every rule by which a configuration is judged, in one table: `check` prints them, SARIF lists them.

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be served by.
    Error,
    /// The file can be served by, but this part is risky.
    Warning,
    /// Accepted, but without effect in this version; no reason to refuse a file, not even with `--strict`.
    Note,
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The stable name by which people and tools refer to it.
    pub id: &'static str,
    /// How bad a breach is.
    pub severity: Severity,
    /// What it asks, in one line.
    pub summary: &'static str,
}

impl Severity {
    /// The word in reports; also SARIF's `level`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Makes the constants and the table from one list, so that no rule can be left out of it.
macro_rules! rules {
    ($($name:ident = $severity:ident $id:literal: $summary:literal;)+) => {
        $(pub(crate) static $name: Rule = Rule { id: $id, severity: Severity::$severity, summary: $summary };)+

        /// All rules, errors first.
        pub static RULES: &[&Rule] = &[$(&$name),+];
    };
}

rules! {
    YAML_SYNTAX = Error "yaml-syntax": "the file is one document of plain YAML";
    ENV_MALFORMED = Error "env-malformed": "a reference is ${NAME} or ${NAME:-default}";
    ENV_UNSET = Error "env-unset": "a referenced variable is set or has a default";
    ENV_VALUE = Error "env-value": "a variable's value is one line without control characters";
    ENV_STRUCTURE = Error "env-structure": "a variable's value is nothing but text where it stands";
    UNKNOWN_FIELD = Error "unknown-field": "every field is one that patchgate knows";
    DUPLICATE_FIELD = Error "duplicate-field": "a field is given once";
    WRONG_TYPE = Error "wrong-type": "a value is of its field's kind";
    INVALID_VALUE = Error "invalid-value": "a value has its field's form";
    MISSING_FIELD = Error "missing-field": "every field without a default is given";
    EXCLUSIVE_FIELDS = Error "exclusive-fields": "of fields that exclude each other one is given";
    EMPTY_LIST = Error "empty-list": "a list that something must come from has an entry";
    DUPLICATE_NAME = Error "duplicate-name": "names are unique among listeners, services and rollouts";
    INVALID_NAME = Error "invalid-name": "names are fit for metrics, headers and cookies";
    UNKNOWN_SERVICE = Error "unknown-service": "a rollout names a service of this file";
    ROLLOUT_CONFLICT = Error "rollout-conflict": "a group leads to one patch of a service";
    INVALID_ADDRESS = Error "invalid-address": "an address is IP:PORT";
    ADDRESS_IN_USE = Error "address-in-use": "each address is listened on once";
    INVALID_RANGE = Error "invalid-range": "an address range is in CIDR form";
    INVALID_URI = Error "invalid-uri": "an endpoint is a URL of a supported scheme";
    INVALID_HOST = Error "invalid-host": "a host is a name or *.suffix, without port";
    UNREADABLE_FILE = Error "unreadable-file": "a file that is named can be read";
    INVALID_CERTIFICATE = Error "invalid-certificate": "certificates and keys are PEM and go together";
    INVALID_KEY = Error "invalid-key": "a key that signs marks is 32 bytes in hexadecimal";
    INVALID_PATH_PREFIX = Error "invalid-path-prefix": "a path prefix begins with / and has no query";
    OUT_OF_RANGE = Error "out-of-range": "a number is within its bounds";
    STAGES_NOT_RISING = Error "stages-not-rising": "the percent rises from stage to stage";
    ADMIN_FOR_EVERYONE = Error "admin-for-everyone": "the admin API knows its callers, or listens on loopback alone";
    NOT_AVAILABLE = Error "not-available": "a choice is one of this version";
    UNMARKABLE_VALUE = Error "unmarkable-value": "a patch's group and version are legal mark values";
    SHADOWED_ROUTE = Warning "shadowed-route": "no route has the host and prefix of an earlier one";
    REDIRECT_LOOP = Warning "redirect-loop": "no redirect leads to itself";
    HOTFIX_ENDPOINT_IS_STABLE = Warning "hotfix-endpoint-is-stable": "a hot-fix runs at addresses of its own";
    HOTFIX_WITHOUT_FALLBACK = Warning "hotfix-without-fallback": "a service under a rollout falls back to stable";
    ROLLOUT_WITHOUT_GATES = Warning "rollout-without-gates": "a rollout has gates that can stop it";
    PERCENT_WITHOUT_STICKY_KEY = Warning "percent-without-sticky-key": "a percentage sticks to a user";
    EXPOSURE_OVER_100 = Warning "exposure-over-100": "rollouts of a service do not ask for more than there is";
    DEADLINE_TOO_SHORT = Warning "deadline-too-short": "a rollout has time for all of its stages";
    TRUSTS_EVERYONE = Warning "trusts-everyone": "marks are not believed from every address";
    CANARY_SAMPLING_BELOW_100 = Warning "canary-sampling-below-100": "every canary request is sampled";
    RETRY_ON_UNSAFE_METHOD = Warning "retry-on-unsafe-method": "only safe methods are retried or hedged";
    NOT_IN_FORCE = Note "not-in-force": "a field acts in this version";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_kebab_case() {
        for (at, rule) in RULES.iter().enumerate() {
            assert!(rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
            assert!(RULES[..at].iter().all(|other| other.id != rule.id), "{}", rule.id);
        }
    }

    #[test]
    fn errors_come_first() {
        assert!(RULES.is_sorted_by_key(|rule| rule.severity));
    }
}
