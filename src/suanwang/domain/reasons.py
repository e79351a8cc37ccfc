"""Every reason why a site cannot take a job, as a code and a sentence.

Owns the wording in English and Chinese; `{need}` and `{have}` are filled from the exclusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from suanwang.domain.job import Exclusion

SENTENCES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "closed": ("takes no new work: it is being drained", "已停止接收新作业（排空中）"),
        "silent": ("cannot be reached now ({have})", "目前无法连通（{have}）"),
        "site": ("is not among the sites the job allows: {need}", "不在作业允许的站点之列：{need}"),
        "provider": ("provider {have} is not among {need}", "服务商 {have} 不在允许之列：{need}"),
        "region": ("lies in {have}; the job allows {need}", "位于 {have}；作业只允许 {need}"),
        "residency": ("the data may not leave {need}", "数据不得离开 {need}"),
        "held": ("a file the job reads is held at {need} and may not leave it", "作业所需文件保存在 {need}，不得外传"),
        "dataset": ("does not hold the data set {need}", "没有数据集 {need}"),
        "circle": (
            "{have} ms away one way; the job allows {need} ms",
            "单向时延 {have} 毫秒；作业要求不超过 {need} 毫秒",
        ),
        "nodes": ("has {have} nodes in all; the job needs {need}", "共有 {have} 个节点；作业需要 {need} 个"),
        "cores": ("a node has {have} cores; the job needs {need}", "每节点 {have} 核；作业需要 {need} 核"),
        "memory": (
            "a node has {have} GB of memory; the job needs {need} GB",
            "每节点内存 {have} GB；作业需要 {need} GB",
        ),
        "device": ("has no device that fits {need} ({have})", "没有符合 {need} 的加速卡（{have}）"),
        "device_count": (
            "a node has {have} such devices; the job needs {need}",
            "每节点 {have} 张此类卡；作业需要 {need} 张",
        ),
        "multi_node": (
            "its connector runs single-node jobs only; the job needs {need} nodes",
            "该站点只运行单节点作业；作业需要 {need} 个节点",
        ),
        "budget": ("would cost up to ¥{have}; the budget is ¥{need}", "最多花费 ¥{have}；预算为 ¥{need}"),
        "deadline": ("would end at {have}; the deadline is {need}", "预计 {have} 结束；截止时间为 {need}"),
        "refused_here": ("its scheduler refused this job before", "该站点的调度器已拒绝此作业"),
        "short": ("has only {have} working now; the job needs {need}", "目前可用仅 {have}；作业需要 {need}"),
        "busy": ("is full now: free {have}, needed {need}", "当前已满：空闲 {have}，需要 {need}"),
        "kept": ("has room, but keeps it for a job that has waited longer", "有空闲，但已为等待更久的作业预留"),
        "quota": (
            "the project's quota does not allow it: {have}; the job needs {need}",
            "超出项目配额：{have}；作业需要 {need}",
        ),
        "money": (
            "there is not enough money: a start here holds {need}, and {have} is left; top up, or raise the budget",
            "资金不足：在此启动须冻结 {need}，剩余 {have}；请充值或提高预算",
        ),
        "measured": ("its probe fell short of what it declares: {have}", "实测低于申报：{have}"),
        "taken": (
            "others use what this needs, nobody knows how long: {need}",
            "所需资源被他方占用，何时释放未知：{need}",
        ),
        "no_device": ("has no accelerator", "没有加速卡"),
        "unfit": ("cannot do this work: {have}", "无法完成此工作：{have}"),
        "precision": ("{have}; the job needs {need}", "{have}；作业需要 {need}"),
    }
)


def sentence(exclusion: Exclusion, *, chinese: bool = False) -> str:
    """The reason in words, without the site's name."""
    pair = SENTENCES.get(exclusion.code)
    if pair is None:
        return exclusion.code
    return pair[1 if chinese else 0].format(need=exclusion.need, have=exclusion.have)
