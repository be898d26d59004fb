//! The thin real effects: processes, time, users, and reading small things of the operating system.

pub mod env_dir;
#[cfg(feature = "images")]
pub mod process;

/// The text of an operating system error as the reference words it: lower case, without Rust's `(os error N)`.
pub fn error_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    }
}
