"""The words of the terminal's tables, in English and Chinese.

Owns no sentence that the network says: reasons come from it in the language asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from suanwang.cli.terminal import chinese

WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "job": ("Job", "作业"),
        "name": ("Name", "名称"),
        "state": ("State", "状态"),
        "site": ("Site", "站点"),
        "project": ("Project", "项目"),
        "owner": ("Owner", "提交人"),
        "provider": ("Provider", "服务商"),
        "region": ("Region", "区域"),
        "submitted": ("Submitted", "提交时间"),
        "waited": ("Waited", "等待"),
        "ran": ("Ran", "运行"),
        "core_hours": ("Core-h", "核时"),
        "device_hours": ("Device-h", "卡时"),
        "energy": ("kWh", "kWh"),
        "carbon": ("gCO2", "gCO2"),
        "price": ("Price ¥", "费用（元）"),
        "amount": ("Amount ¥", "金额（元）"),
        "exit": ("Exit", "退出码"),
        "reason": ("Reason", "原因"),
        "why": ("Why there", "为何在此"),
        "index": ("Index", "序号"),
        "step": ("Step", "步"),
        "value": ("Value", "值"),
        "cores": ("Cores free", "空闲核"),
        "devices": ("Devices", "加速卡"),
        "memory": ("Memory", "内存"),
        "core_price": ("¥/core-h", "元/核时"),
        "pue": ("PUE", "PUE"),
        "intensity": ("g/kWh", "克/度"),
        "open": ("Open", "开放"),
        "seen": ("Seen", "最近联系"),
        "yes": ("yes", "是"),
        "no": ("no", "否"),
        "jobs": ("Jobs", "作业数"),
        "from": ("From", "起"),
        "to": ("To", "止"),
        "description": ("For", "内容"),
        "token": ("Token", "令牌"),
        "role": ("Role", "角色"),
        "created": ("Created", "创建时间"),
        "expires": ("Expires", "到期"),
        "note": ("Note", "备注"),
        "revoked": ("revoked", "已吊销"),
        "never": ("never", "永久"),
        "title": ("Title", "标题"),
        "file": ("File", "文件"),
        "size": ("Size", "大小"),
        "version": ("Version", "版本"),
        "held_at": ("Held at", "存放于"),
        "network": ("the network", "网络"),
        "metric": ("Metric", "指标"),
        "median": ("Median", "中位数"),
        "spread": ("Spread", "离散"),
        "unit": ("Unit", "单位"),
        "score": ("Score", "评分"),
        "finish": ("Finish s", "完成（秒）"),
        "delay": ("Delay ms", "时延（毫秒）"),
        "verdict": ("Verdict", "结论"),
        "total": ("Total", "合计"),
        "placed": ("runs or ran at", "运行于"),
        "runs": ("would run now at", "现可运行于"),
        "waits": ("waits", "等待中"),
        "refused": ("refused: no site can run it", "已拒绝：没有站点能运行"),
        "blocked": ("waits for the jobs it needs", "等待前置作业"),
        "ended": ("ended", "已结束"),
        "not": ("not", "不可用"),
        "others": ("also fit", "其他可行站点"),
        "needs": ("needs", "前置"),
        "waiting": ("waiting", "等待前置"),
        "queued": ("queued", "排队"),
        "leased": ("leased", "已租约"),
        "running": ("running", "运行中"),
        "cancelling": ("cancelling", "取消中"),
        "succeeded": ("succeeded", "成功"),
        "failed": ("failed", "失败"),
        "cancelled": ("cancelled", "已取消"),
        "state_refused": ("refused", "已拒绝"),
        "invited": ("invited", "已邀请"),
        "reachable": ("reachable", "在线"),
        "suspect": ("suspect", "疑似失联"),
        "lost": ("lost", "失联"),
    }
)


def word(key: str) -> str:
    """The word in the terminal's language; an unknown key stays itself."""
    pair = WORDS.get(key)
    return key if pair is None else pair[chinese()]


def state_word(state: str) -> str:
    """A job's or a site's state."""
    return word("state_refused" if state == "refused" else state)
