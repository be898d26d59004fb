//! The thin real effects: processes, time, users, and reading small things of the operating system.

#[cfg(feature = "images")]
pub mod clock;
#[cfg(feature = "images")]
pub mod document;
pub mod env_dir;
#[cfg(feature = "images")]
pub mod os_release;
#[cfg(feature = "images")]
pub mod process;
#[cfg(feature = "images")]
pub mod user;

/// The text of an operating system error as the reference words it: lower case, without Rust's `(os error N)`.
pub fn error_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    }
}
