//! Debian's Chromium without a screen, driven through two pipes (the DevTools protocol).

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::running::Running;
use super::{scratch, tool};

/// A browser with one page.
pub(crate) struct Browser {
    /// Ended before its folder goes.
    running: Running,
    to: File,
    from: BufReader<File>,
    number: u64,
    session: Option<String>,
    /// What it told without being asked.
    told: Vec<Value>,
    dir: TempDir,
}

impl Browser {
    /// Starts it and opens a file. What the page told of itself while it loaded is kept.
    pub(crate) fn open(page: &Path) -> Self {
        let dir = scratch();
        let (to, from) = (dir.path().join("to"), dir.path().join("from"));
        tool(Command::new("mkfifo").args([&to, &from]));
        // The numbers of both pipes are the protocol's.
        let script = "exec chromium --headless=new --no-sandbox --disable-gpu --remote-debugging-pipe \
                      --window-size=1400,800 --user-data-dir=\"$1/profile\" 3<\"$1/to\" 4>\"$1/from\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(dir.path()).env("HOME", dir.path());
        let running = Running::start("chromium", &mut command, &dir.path().join("log"));
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let from = BufReader::new(File::open(from).unwrap());
        let mut browser = Self { running, to, from, number: 0, session: None, told: Vec::new(), dir };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", &attached);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.call(domain, &json!({}));
        }
        browser.call("Page.navigate", &json!({"url": format!("file://{}", page.display())}));
        while !browser.told.iter().any(|message| message["method"] == "Page.loadEventFired") {
            let message = browser.hear();
            browser.told.push(message);
        }
        browser
    }

    /// Sends a command and gives its result.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let message = self.hear();
            if message["id"] == self.number {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.told.push(message);
        }
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let result = self.call("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}));
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Types into what has the focus.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// The addresses that the page asked for.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent = self.told.iter().filter(|message| message["method"] == "Network.requestWillBeSent");
        sent.map(|message| message["params"]["request"]["url"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What the page complained about.
    pub(crate) fn complaints(&self) -> Vec<&Value> {
        let methods = ["Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"];
        self.told.iter().filter(|message| methods.iter().any(|method| message["method"] == *method)).collect()
    }

    fn hear(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "the browser ended: {}\n{}", self.running.log(), self.dir.path().display());
        serde_json::from_slice(&message).unwrap()
    }
}
