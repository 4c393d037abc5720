//! Which metrics there are: those of this program, and whatever is added to them.

use std::sync::{Arc, LazyLock, RwLock};

use super::metric::Metric;
use super::{
    afine, arniqa, brisque, clip_iqa, dbcnn, dists, grain, hyper_iqa, liqe, lpips, lr, maniqa, ms_ssim, musiq, nima,
    niqe, piqe, psnr, qalign, qualiclip, ssim, stlpips, topiq,
};
use crate::{Error, Result};

/// Full-reference ones first, then what was added.
static METRICS: LazyLock<RwLock<Vec<Arc<dyn Metric>>>> = LazyLock::new(|| {
    RwLock::new(vec![
        Arc::new(psnr::PSNR),
        Arc::new(psnr::PSNR_Y),
        Arc::new(ssim::SSIM),
        Arc::new(ssim::SSIM_Y),
        Arc::new(ms_ssim::MS_SSIM),
        Arc::new(ms_ssim::MS_SSIM_S4),
        Arc::new(stlpips::StLpips),
        Arc::new(grain::GRAIN),
        Arc::new(lpips::Lpips::ALEX),
        Arc::new(lpips::Lpips::VGG),
        Arc::new(lpips::Lpips::ALEX_PLUS),
        Arc::new(lpips::Lpips::VGG_PLUS),
        Arc::new(dists::Dists),
        Arc::new(topiq::Topiq::FR),
        Arc::new(topiq::Topiq::FR_PIPAL),
        Arc::new(&afine::FIDELITY),
        Arc::new(&afine::BOTH),
        Arc::new(&afine::SCALED),
        Arc::new(niqe::NIQE),
        Arc::new(niqe::NIQE_B32),
        Arc::new(brisque::BRISQUE),
        Arc::new(piqe::PIQE),
        Arc::new(&lr::PSNR),
        Arc::new(&lr::SSIM),
        Arc::new(&lr::STLPIPS),
        Arc::new(topiq::Topiq::NR),
        Arc::new(topiq::Topiq::NR_SPAQ),
        Arc::new(topiq::Topiq::NR_FLIVE),
        Arc::new(topiq::Topiq::IAA),
        Arc::new(topiq::Topiq::IAA_RES50),
        Arc::new(nima::Nima::AVA),
        Arc::new(nima::Nima::KONIQ),
        Arc::new(nima::Nima::SPAQ),
        Arc::new(nima::Nima::VGG),
        Arc::new(arniqa::Arniqa::KONIQ),
        Arc::new(arniqa::Arniqa::LIVE),
        Arc::new(arniqa::Arniqa::CSIQ),
        Arc::new(arniqa::Arniqa::TID),
        Arc::new(arniqa::Arniqa::KADID),
        Arc::new(arniqa::Arniqa::CLIVE),
        Arc::new(arniqa::Arniqa::FLIVE),
        Arc::new(arniqa::Arniqa::SPAQ),
        Arc::new(hyper_iqa::HyperIqa),
        Arc::new(dbcnn::Dbcnn),
        Arc::new(&afine::NATURALNESS),
        Arc::new(&musiq::MUSIQ),
        Arc::new(&musiq::MUSIQ_AVA),
        Arc::new(&musiq::MUSIQ_SPAQ),
        Arc::new(&musiq::MUSIQ_PAQ2PIQ),
        Arc::new(&maniqa::MANIQA_PIPAL),
        Arc::new(&maniqa::MANIQA_PIPAL_4),
        Arc::new(&maniqa::MANIQA),
        Arc::new(&maniqa::MANIQA_KADID),
        Arc::new(&clip_iqa::CLIP_IQA),
        Arc::new(&clip_iqa::CLIP_IQA_PLUS),
        Arc::new(&clip_iqa::CLIP_IQA_PLUS_512),
        Arc::new(&clip_iqa::CLIP_IQA_PLUS_VIT_512),
        Arc::new(&liqe::LIQE),
        Arc::new(&liqe::LIQE_MIX),
        Arc::new(&qalign::QUALITY),
        Arc::new(&qalign::AESTHETIC),
        Arc::new(&qualiclip::QUALICLIP),
        Arc::new(&qualiclip::QUALICLIP_PLUS),
    ])
});

/// Every metric there is, full-reference ones first.
pub fn all() -> Vec<Arc<dyn Metric>> {
    METRICS.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

/// The metric of this name; the error lists the names there are.
pub fn by_name(name: &str) -> Result<Arc<dyn Metric>> {
    let all = all();
    all.iter().find(|metric| metric.info().name == name).cloned().ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|metric| metric.info().name.as_ref()).collect();
        Error::invalid(format!("there is no metric '{name}', only {}", names.join(", ")))
    })
}

/// Adds a metric for as long as the program runs: from now on every list has it, and recipes may name it. Errors: there is
/// one of this name.
pub fn register(metric: Arc<dyn Metric>) -> Result<()> {
    let mut metrics = METRICS.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    let name = &metric.info().name;
    if metrics.iter().any(|known| known.info().name == *name) {
        return Err(Error::invalid(format!("there is a metric '{name}' already")));
    }
    metrics.push(metric);
    Ok(())
}
