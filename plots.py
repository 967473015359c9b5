"""Every figure, drawn by matplotlib without a screen."""

from matplotlib.figure import Figure


def training_curve(log, path):
    """Loss and validation macro AUC over the epochs of a training log (a row an epoch), as a picture file."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(log["epoch"], log["loss"], label="training")
    left.plot(log["epoch"], log["val_loss"], label="validation")
    left.set(xlabel="epoch", ylabel="loss")
    left.legend(frameon=False)
    right.plot(log["epoch"], log["val_macro_auc"], color="tab:orange")
    best = log["val_macro_auc"].idxmax()
    right.plot(log["epoch"][best], log["val_macro_auc"][best], "o", color="tab:orange")
    right.set(xlabel="epoch", ylabel="validation macro AUC", title=f"best {log['val_macro_auc'][best]:.4f}")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
