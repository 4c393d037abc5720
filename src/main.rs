#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use dp2o_studio::backbones::pretrain::{Options, pretrain};
use std::time::Duration;

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let options = Options {
        data: a[1].clone().into(),
        hours: a[2].parse().unwrap(),
        out: a[3].clone().into(),
        batch: 32,
        learning_rate: 8e-4,
        ema: 0.999,
        seed: 0,
        save_every: Duration::from_secs(120),
    };
    pretrain(&options, &candle_core::Device::Cpu, |p| {
        if p.step % 50 == 0 || p.step < 5 {
            println!("step {} loss {:.4} {:.0} s", p.step, p.loss, p.seconds);
        }
        true
    })
    .unwrap();
}
