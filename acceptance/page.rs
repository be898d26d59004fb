//! The page of `lifecycle trace --html` in a browser: it draws, searches, folds, and hostile names stay text.

use std::process::Command;

use crate::support::browser::Browser;
use crate::support::outcome::Outcome;
use crate::support::platform::Platform;
use crate::support::registry::Registry;

/// A span whose every text would be a script if it were markup.
const HOSTILE: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"<script>window.broken=1</script>"}}]},"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"</script><script>window.broken=1</script><img src=x onerror=window.broken=1>","startTimeUnixNano":"START","endTimeUnixNano":"START","attributes":[{"key":"<b onclick=window.broken=1>","value":{"stringValue":"\"><svg onload=window.broken=1>"}}]}]}]}]}"#;

#[test]
fn a_page_draws_searches_and_folds_in_a_browser() {
    let registry = Registry::plain();
    let mut platform = Platform::new().run_image_in(&registry);
    platform.env("CNB_TELEMETRY", "true");
    platform.order(&[("samples/greeting", "0.2.0"), ("samples/traced", "0.1.0")]);
    platform.build(&registry.image("app"), &[]).done();
    let lines = platform.read("layers/tracing/lifecycle/build.jsonl");
    let start = lines.split("\"startTimeUnixNano\":\"").nth(1).unwrap().split('"').next().unwrap();
    platform.write("layers/tracing/hostile.jsonl", &format!("{}\n", HOSTILE.replace("START", start)));
    let page = platform.path("page.html");
    let drawn = Command::new(platform.path("lifecycle/lifecycle"))
        .args(["trace", "--html"])
        .args([&page, &platform.path("layers/tracing")])
        .env_clear()
        .output()
        .unwrap();
    Outcome::new("lifecycle trace --html".to_owned(), &drawn).exits(0).done();

    let mut browser = Browser::open(&page);
    let titles = "[...document.querySelectorAll('#rows .row b')].map(e => e.textContent).join('|')";
    // The viewport shows as many rows as it has room for.
    let shown = browser.value(titles);
    assert!(shown.as_str().unwrap().starts_with("ANALYZE|"), "{shown}");
    assert!(browser.value("document.getElementById('headline').textContent").as_str().unwrap().contains("success"));
    let widths = "[...document.querySelectorAll('#rows .bar')].every(e => e.getBoundingClientRect().width >= 2)";
    assert_eq!(browser.value(widths), true);

    browser.value("document.getElementById('search').focus()");
    browser.type_text("count files");
    assert_eq!(browser.value(titles), "BUILD|samples/traced 0.1.0|count files");
    browser.value("document.getElementById('search').value = ''; document.getElementById('search').oninput()");

    let rows = "rows.length";
    let all = browser.value(rows).as_u64().unwrap();
    browser.value("document.querySelector('#rows .twist').click()");
    let folded = browser.value(rows).as_u64().unwrap();
    assert!(folded < all, "{folded} of {all} rows after folding the first phase");
    browser.value("document.querySelector('#rows .twist').click()");
    assert_eq!(browser.value(rows), all);

    browser.value("document.getElementById('search').value = 'onerror'; document.getElementById('search').oninput()");
    browser.value("document.querySelector('#rows .row').click()");
    assert!(browser.value(titles).as_str().unwrap().contains("<img src=x onerror=window.broken=1>"));
    let details = browser.value("document.getElementById('details').textContent");
    assert!(details.as_str().unwrap().contains("<svg onload=window.broken=1>"), "{details}");
    assert_eq!(browser.value("typeof window.broken + document.images.length + document.scripts.length"), "undefined02");

    assert_eq!(browser.requests(), [format!("file://{}", page.display())], "the page loads nothing");
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
}
