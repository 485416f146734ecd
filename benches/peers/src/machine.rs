//! What a report was measured on.

use std::{fs, thread};

use procfs::Current;

use crate::{git::git, system::go};

/// One line: netrpc's revision, CPUs, kernel, compilers, and how busy the machine was before.
pub fn describe() -> String {
    let cpu = procfs::CpuInfo::current().ok();
    let cpu = cpu.as_ref().and_then(|cpu| cpu.model_name(0)).unwrap_or("CPU of unknown model");
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = procfs::LoadAverage::current().map_or(f32::NAN, |load| load.one);
    let revision = git(&["describe", "--always", "--dirty=, changed"]);
    format!(
        "netrpc {}; {cpu}, {cores} CPUs; Linux {}; {}; {}; load average {load:.1} before the first round",
        revision.as_deref().unwrap_or("of unknown revision"),
        kernel.trim(),
        env!("RUSTC_VERSION"),
        go::version().as_deref().unwrap_or("no Go"),
    )
}
