//! Every attribute that may be in a span: a closed list, so that nothing else can be (T9).
//!
//! Names are OpenTelemetry's where it has one, else those that buildpacks already use, else begin with `cnb.`.

use opentelemetry::KeyValue;

/// The longest text in bytes; more is cut (R6).
pub const LONGEST_TEXT: usize = 4096;

macro_rules! keys {
    ($($(#[$doc:meta])* $key:ident = $name:literal,)*) => {
        /// The name of an attribute.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Key {
            $($(#[$doc])* $key,)*
        }

        impl Key {
            /// Every attribute there is.
            pub const ALL: &'static [Self] = &[$(Self::$key,)*];

            /// Its name in a span.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$key => $name,)*
                }
            }
        }
    };
}

keys! {
    /// Resource: `lifecycle`.
    ServiceName = "service.name",
    /// Resource: the version of this lifecycle.
    ServiceVersion = "service.version",
    /// Resource: the same, by the name that the RFC uses.
    LifecycleVersion = "lifecycle.version",
    /// Resource: the phase whose file this is.
    Phase = "cnb.phase",
    /// Resource: the negotiated Platform API.
    PlatformApi = "cnb.platform_api",
    /// The name of a phase or program of a buildpack, as its span is called.
    TaskName = "cicd.pipeline.task.name",
    /// One run of a phase or program: the id of its span.
    TaskRunId = "cicd.pipeline.task.run.id",
    /// How it ended: `success failure error timeout skip cancellation`.
    TaskRunResult = "cicd.pipeline.task.run.result",
    /// The kind of error, as a fixed word.
    ErrorType = "error.type",
    /// The exit code of a program or phase.
    ExitCode = "process.exit.code",
    /// The id of a buildpack.
    BuildpackId = "buildpack_id",
    /// The same, by the name in the RFC's example.
    BuildpackIdRfc = "buildpack-id",
    /// The version of a buildpack.
    BuildpackVersion = "buildpack_version",
    /// The id of an extension.
    ExtensionId = "extension_id",
    /// The version of an extension.
    ExtensionVersion = "extension_version",
    /// The name of a layer.
    Layer = "cnb.layer",
    /// Whether a layer was taken over instead of made.
    LayerReused = "cnb.layer.reused",
    /// Whether the cache had it.
    CacheHit = "cnb.cache.hit",
    /// Bytes read, written or sent.
    Bytes = "cnb.bytes",
    /// Files in a layer.
    Files = "cnb.files",
    /// Whether the span only tells that its parent has begun.
    Started = "cnb.started",
    /// What a request is about: `manifest`, `blob`, ...; never where it goes.
    RequestAbout = "cnb.request.about",
    /// The method of a request.
    RequestMethod = "http.request.method",
    /// The status of the answer to a request.
    ResponseStatus = "http.response.status_code",
    /// Which try of a request failed, from 1.
    ResendCount = "http.request.resend_count",
}

/// A text, cut to [`LONGEST_TEXT`] at the end of a character.
pub fn text(key: Key, value: &str) -> KeyValue {
    let mut end = LONGEST_TEXT.min(value.len());
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    KeyValue::new(key.name(), value[..end].to_owned())
}

/// A whole number; OTLP has no larger one than `i64`.
pub fn number(key: Key, value: impl TryInto<i64>) -> KeyValue {
    KeyValue::new(key.name(), value.try_into().unwrap_or(i64::MAX))
}

/// Yes or no.
pub fn flag(key: Key, value: bool) -> KeyValue {
    KeyValue::new(key.name(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = Key::ALL.iter().map(|key| key.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Key::ALL.len());
    }

    #[test]
    fn r6_texts_are_cut_at_the_end_of_a_character() {
        let long = format!("x{}", "ü".repeat(4096));
        let cut = text(Key::Layer, &long).value.to_string();
        assert_eq!(cut.len(), 4095);
        assert!(long.starts_with(&cut));
    }

    #[test]
    fn numbers_beyond_the_format_are_the_largest() {
        assert_eq!(number(Key::Bytes, u64::MAX).value, i64::MAX.into());
    }
}
