//! Envelope ⇄ bytes. JSON in the order of the fields, whole numbers only: what is written once is hashed as it is and
//! never written again, so no canonical form is needed beyond it.

use serde::Deserialize;
use serde_json::Value;

use super::event::Envelope;

/// From one version's form to the next one's; the first is version 1's.
type Upcast = fn(&mut Value);

/// One for each version before [`Envelope::VERSION`].
const UPCASTS: [Upcast; Envelope::VERSION as usize - 1] = [];

/// Why bytes are no event.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// They are not what any version wrote.
    #[error("not an event: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A later version wrote them.
    #[error("an event of version {found}, this program knows up to {known}; use the one that wrote it, or a newer one")]
    Newer {
        /// The version found.
        found: u32,
        /// The newest one known.
        known: u32,
    },
}

/// The bytes that are stored.
#[must_use]
pub fn encode(envelope: &Envelope) -> Vec<u8> {
    serde_json::to_vec(envelope).expect("maps have string keys, and memory takes all")
}

/// The event in stored bytes, of this version or an older one.
///
/// # Errors
/// If they are of no known version.
pub fn decode(bytes: &[u8]) -> Result<Envelope, CodecError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let Version { v } = serde_json::from_slice(bytes)?;
    if v == Envelope::VERSION {
        return Ok(serde_json::from_slice(bytes)?);
    }
    if v > Envelope::VERSION {
        return Err(CodecError::Newer { found: v, known: Envelope::VERSION });
    }
    if v == 0 {
        return Err(CodecError::Malformed(serde::de::Error::custom("there is no version 0")));
    }
    Ok(serde_json::from_value(upcast(serde_json::from_slice(bytes)?, v, &UPCASTS))?)
}

/// The form of version `from` lifted through all versions after it.
fn upcast(mut value: Value, from: u32, upcasts: &[Upcast]) -> Value {
    for (lift, version) in upcasts.iter().zip(1u32..) {
        if version >= from {
            lift(&mut value);
            value["v"] = (version + 1).into();
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_old_form_is_lifted_through_every_version_after_it() {
        let upcasts: [Upcast; 2] = [|value| value["who"] = value["actor"].take(), |value| value["why"] = json!("-")];
        let first = json!({"v": 1, "actor": "ann"});
        assert_eq!(upcast(first, 1, &upcasts), json!({"v": 3, "actor": null, "who": "ann", "why": "-"}));
        assert_eq!(upcast(json!({"v": 2, "who": "ann"}), 2, &upcasts), json!({"v": 3, "who": "ann", "why": "-"}));
    }

    #[test]
    fn a_newer_form_is_refused_and_says_what_helps() {
        let error = decode(br#"{"v":2,"event":{"type":"teleported"}}"#).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
        assert!(matches!(error, CodecError::Newer { found: 2, known: 1 }));
        assert!(matches!(decode(br#"{"v":0}"#), Err(CodecError::Malformed(_))));
        assert!(matches!(decode(b"{}"), Err(CodecError::Malformed(_))));
    }
}
