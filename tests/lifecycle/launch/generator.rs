//! Layers folders, made from a number: what buildpacks may leave in an image, odd things among it, and a start in it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// How a launcher is started.
pub(super) struct Start {
    pub argv0: String,
    pub args: Vec<OsString>,
    pub env: BTreeMap<OsString, OsString>,
}

/// What a started process says about itself: its arguments and environment as the system has them, where it works,
/// and what it inherited.
pub(super) const PROBE: &str = r"printf '==args==\n'; /bin/cat /proc/$$/cmdline; printf '\n==env==\n'
/bin/cat /proc/$$/environ; printf '\n==dir==\n'; pwd -P
printf '==machine==\n'; /bin/grep -E '^Sig(Blk|Ign)' /proc/self/status; cd /proc/$$/fd; echo *
";

const TYPES: [&str; 4] = ["web", "worker", "with.dots", "x"];

const VARIABLES: [&[u8]; 8] = [b"V1", b"V2", b"PATH", b"LD_LIBRARY_PATH", b"A B", b"odd-name", b"\xc3\xa9", b"lower"];

const SUFFIXES: [&str; 10] =
    ["", ".override", ".default", ".append", ".prepend", ".append", ".prepend", ".", ".weird", ".append.x"];

const DELIMITERS: [&[u8]; 6] = [b":", b"**", b"", b"\n", b", ", b"\xff"];

/// Words of commands and users: what a shell might do something with, apart from what differs between versions of bash.
const WORDS: [&str; 27] = [
    "",
    "a",
    "x y",
    "  lead",
    "$HOME",
    "${V1}",
    "`echo hi`",
    "$(echo sub)",
    "*",
    "\"q\"",
    "'s'",
    "a\\b",
    "\u{e9}\u{1f600}",
    "\n",
    "tab\there",
    "-n",
    "-e",
    "a;b",
    "a&b",
    "~",
    "#c",
    "a=b",
    "|",
    ">",
    "%s",
    "$",
    "--",
];

/// Numbers that look random and are the same for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True in so many of a hundred cases.
    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// Some of the items, each once, in any order.
    fn some<T: Copy>(&mut self, from: &[T], at_most: usize) -> Vec<T> {
        let mut left = from.to_vec();
        (0..self.below(at_most + 1)).map(|_| left.swap_remove(self.below(left.len()))).collect()
    }

    fn words(&mut self, at_most: usize) -> Vec<&'static str> {
        (0..self.below(at_most + 1)).map(|_| self.pick(&WORDS)).collect()
    }

    fn value(&mut self) -> Vec<u8> {
        let long = vec![b'v'; self.below(9000)];
        let values: [&[u8]; 11] =
            [b"", b"v", b"a:b", b"x y\n", b"\xff\xfe", b"two\nlines", b"$X", b"-", b"=eq", b"\xc3\xa9", &long];
        self.pick(&values).to_vec()
    }
}

/// Lays case `index` into `root`: folders `layers` and `app`, and the programs that they start.
pub(super) fn generate(root: &Path, index: usize) -> Start {
    let mut random = Random(index as u64);
    let random = &mut random;
    let world = World { root: root.to_owned() };
    fs::create_dir_all(root.join("app/sub")).unwrap();
    world.program("probe", PROBE);

    let mut buildpacks: Vec<(String, &str)> = Vec::new();
    for _ in 0..random.below(4) {
        let id = random.pick(&["bp", "a/b", "c", "d.e/f", "a_b", "x y", "\u{e9}"]);
        buildpacks
            .push((format!("{id}{}", random.pick(&["", "1"])), random.pick(&["0.7", "0.8", "0.9", "0.10", "0.12"])));
    }
    for (id, _) in &buildpacks {
        if !random.percent(10) {
            world.buildpack(&Path::new("layers").join(id.replace('/', "_")), random);
        }
    }
    if random.percent(30) {
        world.write("app/.profile", b"echo app profile; export V2=\"$V2 app  prof\"");
    }
    if random.percent(50) {
        world.program("app/local", PROBE);
    }
    let mut types = random.some(&TYPES, 3);
    if !types.contains(&"web") {
        types.push("web");
    }
    let metadata = metadata(root, &buildpacks, &types, random);
    world.write("layers/config/metadata.toml", metadata.as_bytes());
    start(root, index, &types, random)
}

fn start(root: &Path, index: usize, types: &[&str], random: &mut Random) -> Start {
    let mut env = BTreeMap::new();
    let mut set = |name: &[u8], value: &[u8]| {
        env.insert(OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned());
    };
    let bytes = |path: PathBuf| path.into_os_string().into_vec();
    let paths = ["/cnb/process:/cnb/lifecycle:/usr/bin:/bin", "/usr/bin:/bin", "/usr/bin:/bin:", ":/usr/bin:/bin"];
    set(b"PATH", if random.percent(4) { "" } else { random.pick(&paths) }.as_bytes());
    let apis = ["0.7", "0.9", "0.10", "0.14", "0.15", "0.15", "0.15", "v0.12"];
    let odd_apis = ["", " ", "x", "9.9"];
    set(b"CNB_PLATFORM_API", if random.percent(4) { random.pick(&odd_apis) } else { random.pick(&apis) }.as_bytes());
    let layers = format!("layers{}", random.pick(&["", "/", "//", "/../layers"]));
    set(b"CNB_LAYERS_DIR", &bytes(root.join(layers)));
    set(b"CNB_APP_DIR", &bytes(root.join(if random.percent(2) { "gone" } else { "app" })));
    for (name, chance, values) in [
        ("CNB_NO_COLOR", 50, ["1", "true", "false", ""]),
        ("CNB_EXEC_ENV", 40, ["test", "production", "dev", ""]),
        ("CNB_PROCESS_TYPE", 5, ["web", "worker", "", "a b"]),
        ("CNB_DEPRECATION_MODE", 10, ["error", "warn", "quiet", ""]),
    ] {
        if random.percent(chance) {
            set(name.as_bytes(), random.pick(&values).as_bytes());
        }
    }
    for name in [b"V1".as_slice(), b"V2", b"HOME", b"\xff\xfe", b"A B"] {
        if random.percent(40) {
            set(name, random.pick(&[b"user".as_slice(), b"", b"u  v", b"\xff", b"a=b"]));
        }
    }
    if index % 40 == 7 {
        (0..5000).for_each(|index| set(format!("BIG{index}").as_bytes(), format!("v{index}").as_bytes()));
    }

    let argv0 = match random.below(10) {
        0 | 1 => random.pick(&["/cnb/lifecycle/launcher", "launcher"]).to_owned(),
        2 => format!("./y/{}", random.pick(&TYPES)),
        _ => format!("/cnb/process/{}", random.pick(types)),
    };
    let args: Vec<OsString> = if argv0.ends_with("launcher") {
        let probe = root.join("probe").into_os_string();
        let quoted = OsString::from(format!("{} \"$V1\" \"$0\"", root.join("probe").display()));
        let starts: [&[&OsStr]; 13] = [
            &[],
            &["--".as_ref()],
            &["--".as_ref(), &probe, "a".as_ref(), "".as_ref()],
            &["--".as_ref(), "probe".as_ref()],
            &["--".as_ref(), "sh".as_ref(), "-c".as_ref(), PROBE.as_ref(), "b".as_ref()],
            &[&probe, "$V1".as_ref(), "b  c".as_ref()],
            &[&quoted],
            &["--".as_ref(), "nope".as_ref()],
            &["--".as_ref(), "./local".as_ref(), "x".as_ref()],
            &["web".as_ref()],
            &["-version".as_ref()],
            &["--".as_ref(), "".as_ref()],
            &["--".as_ref(), &probe, OsStr::from_bytes(b"\xff\n")],
        ];
        random.pick(&starts).iter().map(OsString::from).collect()
    } else if random.percent(50) {
        random.words(3).into_iter().map(OsString::from).collect()
    } else {
        Vec::new()
    };
    Start { argv0, args, env }
}

fn metadata(root: &Path, buildpacks: &[(String, &str)], types: &[&str], random: &mut Random) -> String {
    let mut lines = Vec::new();
    for (id, api) in buildpacks {
        lines.push(format!("[[buildpacks]]\nid = {}\napi = \"{api}\"\nversion = \"1\"\n", quoted(id)));
    }
    let list = |words: &[&str]| format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "));
    let probe = root.join("probe").display().to_string();
    let with_argument = format!("{probe} $HOME");
    for process_type in types {
        lines.push(format!("[[processes]]\ntype = {}\n", quoted(process_type)));
        let sound = [&probe, &probe, &probe, "sh"];
        let odd = ["probe", &with_argument, "tool", "printf", "nope", "./local", "", "$V1"];
        let command = if random.percent(70) { random.pick(&sound) } else { random.pick(&odd) };
        if command == "sh" {
            lines.push(format!("command = [\"sh\", \"-c\", {}]\n", quoted(PROBE)));
        } else if random.percent(3) {
            lines.push("command = []\n".to_owned());
        } else if random.percent(50) {
            let mut words = vec![command];
            words.extend(random.words(2));
            lines.push(format!("command = {}\n", list(&words)));
        } else {
            lines.push(format!("command = {}\n", quoted(command)));
        }
        if random.percent(60) {
            lines.push(format!("args = {}\n", list(&random.words(4))));
        }
        // Scripts of several lines are for `sh` itself: in a shell process each word is evaluated once more.
        lines.push(format!("direct = {}\n", command == "sh" || random.percent(50)));
        if random.percent(30) {
            let sub = root.join("app/sub").display().to_string();
            lines.push(format!("working-dir = {}\n", quoted(random.pick(&["/tmp", "/tmp", "/nope", "sub", "", &sub]))));
        }
        if random.percent(30) {
            lines.push(format!("exec-env = {}\n", list(&random.some(&["test", "production", "*", "dev"], 2))));
        }
        let by = buildpacks.first().filter(|_| random.percent(96)).map(|(id, _)| id.as_str());
        lines.push(format!("buildpack-id = {}\n", quoted(by.unwrap_or(random.pick(&["", "", "unknown"])))));
    }
    lines.push("[[slices]]\npaths = [\"a\"]\n".to_owned());
    let mut text = lines.concat();
    if random.percent(3) {
        let end = random.below(text.len());
        text.truncate((0..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap());
    }
    text
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// Where a case is laid down.
struct World {
    root: PathBuf,
}

impl World {
    fn write(&self, path: impl AsRef<Path>, contents: &[u8]) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Writes a shell script.
    fn program(&self, path: impl AsRef<Path>, script: &str) {
        self.write(&path, format!("#!/bin/sh\n{script}\n").as_bytes());
        fs::set_permissions(self.root.join(path), Permissions::from_mode(0o755)).unwrap();
    }

    fn folder(&self, path: impl AsRef<Path>) {
        fs::create_dir_all(self.root.join(path)).unwrap();
    }

    /// Makes a link, unless something is there.
    fn link(&self, target: &str, path: impl AsRef<Path>) {
        let path = self.root.join(path);
        if path.symlink_metadata().is_err() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }
    }

    fn buildpack(&self, dir: &Path, random: &mut Random) {
        self.folder(dir);
        let names: [&[u8]; 7] = [b"a", b"B", b"c", b".h", b"z z", b"\xff\xfe", b"0"];
        for name in random.some(&names, 4) {
            let layer = dir.join(OsStr::from_bytes(name));
            self.folder(&layer);
            self.write(dir.join("a.toml"), b"");
            self.layer(&layer, random);
        }
        if random.percent(10) {
            self.link("/tmp", dir.join("linked"));
        }
        if random.percent(2) {
            self.link("lost", dir.join("a"));
        }
    }

    fn layer(&self, layer: &Path, random: &mut Random) {
        if random.percent(40) {
            self.program(layer.join("bin/probe"), PROBE);
        }
        if random.percent(20) {
            let tool = layer.join("bin/tool");
            self.program(&tool, PROBE);
            let mode = random.pick(&[0o755, 0o755, 0o644]);
            fs::set_permissions(self.root.join(tool), Permissions::from_mode(mode)).unwrap();
        }
        if random.percent(30) {
            self.folder(layer.join("lib"));
        } else if random.percent(5) {
            self.link(random.pick(&["bin", "lost", "/usr/lib"]), layer.join("lib"));
        }
        self.environment(layer, random);
        self.exec_d(layer, random);
        self.profiles(layer, random);
    }

    fn environment(&self, layer: &Path, random: &mut Random) {
        let own = format!("env.launch/{}", random.pick(&TYPES));
        for folder in ["env", "env.launch", "env.build", &own] {
            for _ in 0..random.pick(&[0, 0, 1, 3]) {
                let name = random.pick(&VARIABLES);
                let mut suffix = random.pick(&SUFFIXES);
                if name == b"PATH" && random.percent(80) {
                    suffix = random.pick(&[".prepend", ".append", "."]);
                }
                let file =
                    |suffix: &str| layer.join(folder).join(OsStr::from_bytes(&[name, suffix.as_bytes()].concat()));
                self.write(file(suffix), &random.value());
                if random.percent(40) {
                    self.write(file(".delim"), random.pick(&DELIMITERS));
                }
            }
        }
        if random.percent(3) {
            let target = random.pick(&["/nope", ".", "LINK", "/dev/null", "../bin/tool"]);
            self.link(target, layer.join("env/LINK"));
        }
        if random.percent(2) {
            self.link("env.launch", layer.join("env.launch"));
        }
    }

    fn exec_d(&self, layer: &Path, random: &mut Random) {
        let own = format!("exec.d/{}", random.pick(&TYPES));
        for folder in ["exec.d", &own] {
            if !random.percent(15) {
                continue;
            }
            let sound = [
                "echo \"V1 = \\\"d:$V2\\\"\" >&3",
                "echo hello; echo err >&2; pwd",
                "printf \"E1 = 'x'\\n\\\"E 2\\\" = \\\"\\\"\\\"\\n\\303\\251 a\\\"\\\"\\\"\\n\" >&3",
                "exit 0",
                "/bin/cat; echo $#; printf 'PATH = \"%s:/from/exec.d\"' \"$PATH\" >&3",
                "(/bin/sleep 0.1; echo 'LATE = \"\"' >&3) &",
            ];
            let bad = [
                "exit 3",
                "echo 'A = 1' >&3",
                "echo \"A = ['x']\" >&3",
                "kill -15 $$",
                "echo '[t]' >&3",
                "echo \"a.b = ''\" >&3",
                "echo 'A = \"\"' >&3; echo 'A = \"\"' >&3",
                "echo 'A =' >&3",
            ];
            let program = layer.join(folder).join(OsStr::from_bytes(random.pick(&[b"p", b"q", b"\xfe"])));
            self.program(&program, if random.percent(8) { random.pick(&bad) } else { random.pick(&sound) });
            if random.percent(3) {
                fs::set_permissions(self.root.join(program), Permissions::from_mode(0o644)).unwrap();
            }
        }
    }

    fn profiles(&self, layer: &Path, random: &mut Random) {
        let own = format!("profile.d/{}", random.pick(&TYPES));
        for folder in ["profile.d", &own] {
            if random.percent(20) {
                let effect = random.pick(&["", "false", "export V1=\"p  q\"", "syntax ("]);
                let script = format!("echo profile $0 \"$@\"; export P=\"$P:${{0##*/}}\"; {effect}");
                self.write(layer.join(folder).join(random.pick(&["a.sh", "b", "c d"])), script.as_bytes());
            }
        }
    }
}
