//! Traces of a build to a registry, and that they stay out of images.
//!
//! Clause: RFC 0131.

use std::process::Command;

use serde_json::Value;

use crate::support::image::Image;
use crate::support::outcome::Outcome;
use crate::support::platform::Platform;
use crate::support::registry::Registry;

#[test]
fn an_image_is_the_same_with_and_without_telemetry_and_has_no_traces() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    let (quiet, traced) = (registry.image("quiet"), registry.image("traced"));
    platform.build(&quiet, &[]).done();
    assert!(!platform.path("layers/tracing").exists(), "off is off");
    platform.env("CNB_TELEMETRY", "true");
    platform.build(&traced, &[]).done();
    assert!(platform.path("layers/tracing/lifecycle/export.jsonl").exists());
    let quiet = Image::fetch(&registry, &quiet, &platform.path("fetched-quiet"));
    let traced = Image::fetch(&registry, &traced, &platform.path("fetched-traced"));
    assert_eq!(quiet.digest, traced.digest);
    let root = traced.unpack(&platform.path("bundle"));
    assert!(!root.join(platform.path("layers/tracing").strip_prefix("/").unwrap()).exists());
}

#[test]
fn all_phases_write_one_trace_which_can_be_drawn() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    platform.order(&[("samples/greeting", "0.2.0"), ("samples/traced", "0.1.0")]);
    platform.build(&registry.image("app"), &[]).done();
    let mut traces: Vec<String> = Vec::new();
    for phase in ["analyze", "detect", "restore", "build", "export"] {
        let lines = platform.read(&format!("layers/tracing/lifecycle/{phase}.jsonl"));
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for span in line["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().into_iter().flatten() {
                traces.push(span["traceId"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(traces.len() > 10, "{traces:?}");
    traces.dedup();
    assert_eq!(traces.len(), 1, "one trace over all phases");
    let drawn = Command::new(platform.path("lifecycle/lifecycle"))
        .arg("trace")
        .arg(platform.path("layers/tracing"))
        .env_clear()
        .output()
        .unwrap();
    let drawn = Outcome::new("lifecycle trace".to_owned(), &drawn).exits(0);
    // The last is a span of the buildpack's own.
    drawn.says("ANALYZE").says("EXPORT").says("samples/traced").says("count files").done();
}

#[test]
fn no_trace_names_the_image_the_registry_or_a_secret() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    platform.env("CNB_REGISTRY_AUTH", r#"{"registry.example.com":"Basic Y2FuYXJ5LXNlY3JldA=="}"#);
    platform.build(&registry.image("canary-name"), &[&registry.image("canary-name:canary-tag")]).done();
    let mut all = String::new();
    for phase in ["analyze", "detect", "restore", "build", "export"] {
        all += &platform.read(&format!("layers/tracing/lifecycle/{phase}.jsonl"));
    }
    for word in ["canary", &registry.host(), "127.0.0.1", "Y2FuYXJ5", platform.path("workspace").to_str().unwrap()] {
        assert!(!all.contains(word), "a trace has {word:?}");
    }
}
