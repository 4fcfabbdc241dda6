"""Words for people, in Chinese and English, made from codes and facts at the edge. No jargon, no stack traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from .errors import printable

# code: (English, Chinese). What happened, then what to do.
WORDS: dict[str, tuple[str, str]] = {
    # waiting
    "held": ("On hold because of its name.", "因文件夹名称而暂停。"),
    "still_copying": ('Still being copied ("{name}").', "仍在复制中（“{name}”）。"),
    "zero_tail": ('Still being copied: the end of "{name}" is empty so far.', "仍在复制中：“{name}”的末尾目前是空的。"),
    "moov_missing": ('"{name}" is not complete yet.', "“{name}”尚不完整。"),
    "empty": ('"{name}" is empty so far.', "“{name}”目前是空文件。"),
    "recorder_open": ('"{name}" is still being recorded or copied.', "“{name}”仍在录制或复制中。"),
    "not_a_file": ('"{name}" is not an ordinary file. Copy the real file here.', "“{name}”不是普通文件，请把真正的文件复制到这里。"),
    "settling": ("Just arrived; making sure that copying has finished.", "刚刚收到，正在确认复制已完成。"),
    "changed_while_copying": ("A file is still changing.", "有文件仍在变化。"),
    "changed_after_claim": ('"{name}" is still changing.', "“{name}”仍在变化。"),
    "needs_audio": (
        "A sound file is missing: put exactly one voice recording into this folder.",
        "缺少声音文件：请在此文件夹中放入且仅放入一个录音。",
    ),
    "too_many_audio": (
        "There are {found} sound files ({names}): leave exactly one voice recording in this folder.",
        "这里有 {found} 个声音文件（{names}）：请只保留一个录音。",
    ),
    "needs_video": ("A video is missing: put at least one presenter video into this folder.", "缺少视频：请放入至少一个主播视频。"),
    "folder_open": (
        'The folder "{name}" is open on somebody\'s computer. Close windows and players that show it.',
        "文件夹“{name}”正被某台电脑打开，请关闭显示它的窗口和播放器。",
    ),
    "folder_no_permission": (
        'The folder "{name}" may not be moved by this service. Tell the administrator: `heygemd doctor` shows the mend.',
        "本服务无权移动文件夹“{name}”。请告诉管理员运行 `heygemd doctor` 查看解决办法。",
    ),
    "held_open": ('"{name}" is open in another program. Close it there.', "“{name}”正被其他程序使用，请先关闭。"),
    "no_permission": (
        '"{name}" may not be read by this service. Tell the administrator: `heygemd doctor` shows the mend.',
        "本服务无权读取“{name}”。请告诉管理员运行 `heygemd doctor` 查看解决办法。",
    ),
    "loose_files": (
        "Files must lie in a folder of their own: make a new folder here, put one voice recording and the videos into it. Lying loose: {names}",
        "文件必须放在单独的文件夹中：请在这里新建文件夹，把一个录音和视频放进去。散放的文件：{names}",
    ),
    "puzzling": (
        'Something about the folder "{name}" cannot be understood; other folders are served. Tell the administrator: the log says more.',
        "文件夹“{name}”存在无法识别的问题，其他文件夹不受影响。请告诉管理员查看日志。",
    ),
    # the folder is wrong
    "name_taken": ('"{name}" is a name that this service needs itself. Rename or remove it.', "“{name}”是本服务自用的名称，请改名或删除。"),
    "shortcut": ('"{name}" is only a shortcut. Copy the real file into the folder.', "“{name}”只是快捷方式，请复制真正的文件。"),
    "too_many_files": ("The folder holds {found} media files; at most {limit} are allowed. Split it.", "文件夹中有 {found} 个媒体文件，最多 {limit} 个，请拆分。"),
    "file_too_big": ('"{name}" is larger than {limit_gib} GiB.', "“{name}”超过 {limit_gib} GiB。"),
    "job_too_big": ("All files together are larger than {limit_gib} GiB. Split the folder.", "全部文件超过 {limit_gib} GiB，请拆分文件夹。"),
    "job_toml_invalid": ("job.toml has mistakes: {mistakes}", "job.toml 有错误：{mistakes}"),
    "cancelled": ("Cancelled on request. Move the folder back to inbox to start again.", "已按要求取消。把文件夹移回 inbox 可重新开始。"),
    "removed": ("The folder was taken away while it was being worked on.", "处理过程中文件夹被移走了。"),
    # a file is wrong
    "media_unreadable": ('"{name}" cannot be read as a video or sound. Export it again, or send another file.', "“{name}”无法作为视频或声音读取，请重新导出或更换文件。"),
    "file_incomplete": ('"{name}" is not complete: copying was cut short. Copy it again.', "“{name}”不完整：复制被中断，请重新复制。"),
    "file_changed": ('"{name}" was changed or removed while it was being worked on. Put it back and try again.', "“{name}”在处理中被更改或删除，请放回后重试。"),
    "no_duration": ('"{name}" has no length: it is damaged. Export it again.', "“{name}”没有时长，文件已损坏，请重新导出。"),
    "too_many_pixels": ("The picture is too large ({width}x{height}).", "画面太大（{width}x{height}）。"),
    "frame_rate_too_high": ("The frame rate is too high ({fps}).", "帧率太高（{fps}）。"),
    "video_too_long": ("The video is too long ({seconds} s).", "视频太长（{seconds} 秒）。"),
    "audio_too_long": ("The voice recording is too long ({seconds} s).", "录音太长（{seconds} 秒）。"),
    "audio_too_short": ("The voice recording is too short ({seconds} s).", "录音太短（{seconds} 秒）。"),
    "picture_too_small": ("The picture is too small ({width}x{height}).", "画面太小（{width}x{height}）。"),
    "too_many_streams": ("The file holds too many tracks ({found}).", "文件包含的轨道过多（{found}）。"),
    "no_face": ("No face was found in the video. Use a video that shows the presenter's face.", "视频中没有找到人脸，请使用能看到主播面部的视频。"),
    "few_faces": ("A face is visible in only {share} of the video. Use a video that shows the presenter's face.", "视频中只有 {share} 的画面能看到人脸，请使用能看到主播面部的视频。"),
    "no_video": ("The file has no picture.", "文件没有画面。"),
    "no_audio": ("The file has no sound.", "文件没有声音。"),
    "too_big_for_disk": ("The video is too big for the server's disk. Tell the administrator.", "视频对服务器磁盘来说太大，请告诉管理员。"),
    # ours
    "engine_error": ("Rendering failed on our side. Move the folder back to inbox to try again; tell the administrator if it happens twice.", "渲染时内部出错。可把文件夹移回 inbox 重试；再次出现请告诉管理员。"),
    "tracker_weights_missing": ("The chosen face tracker is not installed on this server. Tell the administrator.", "所选人脸跟踪器未安装，请告诉管理员。"),
    "wav2lip_missing": ("The engine wav2lip has no weights on this server. Tell the administrator: `heygemd models add` takes wav2lip_gan.pth or wav2lip.pth.", "此服务器没有 wav2lip 引擎的权重。请告诉管理员：用 `heygemd models add` 添加 wav2lip_gan.pth 或 wav2lip.pth。"),
    "weights_missing": ('The weights "{name}" are not there: check the path, and render.wav2lip.checkpoint in the settings.', "找不到权重“{name}”：请检查路径以及设置 render.wav2lip.checkpoint。"),
    "weights_folder": ('"{name}" is a folder: name the file with the weights in it.', "“{name}”是文件夹：请指定其中的权重文件。"),
    "weights_unreadable": ('"{name}" may not be read by the service: let the user heygemd read it (chmod o+r).', "本服务无权读取“{name}”：请允许用户 heygemd 读取（chmod o+r）。"),
    "weights_empty": ('"{name}" is an empty file, get it again: `heygemd models` says where.', "“{name}”是空文件，请重新获取：`heygemd models` 会说明来源。"),
    "weights_web_page": ('"{name}" is a web page that was saved in place of the weights, get it again: `heygemd models` says where.', "“{name}”是网页，不是权重，请重新获取：`heygemd models` 会说明来源。"),
    "weights_pointer": ('"{name}" is only a git-lfs note of where the weights are: fetch the file itself (git lfs pull).', "“{name}”只是 git-lfs 的指针：请获取文件本身（git lfs pull）。"),
    "weights_onnx": ('"{name}" is an ONNX export for other programs: the PyTorch file is needed, `heygemd models` says where it is.', "“{name}”是供其他程序使用的 ONNX 文件：需要 PyTorch 文件，`heygemd models` 会说明来源。"),
    "weights_cut_short": ('"{name}" is not complete, copying or downloading was cut short, get it again: `heygemd models` says where.', "“{name}”不完整，复制或下载被中断，请重新获取：`heygemd models` 会说明来源。"),
    "weights_damaged": ('"{name}" is damaged, get it again: `heygemd models` says where.', "“{name}”已损坏，请重新获取：`heygemd models` 会说明来源。"),
    "weights_none": ('"{name}" holds no PyTorch weights: `heygemd models` says where to get them.', "“{name}”不含 PyTorch 权重：`heygemd models` 会说明来源。"),
    "weights_code": ('"{name}" holds program code besides weights and was not opened: get wav2lip_gan.pth from the Wav2Lip project.', "“{name}”除权重外还含有程序代码，未打开：请从 Wav2Lip 项目获取 wav2lip_gan.pth。"),
    "weights_other_size": ('"{name}" is a Wav2Lip for larger pictures (256, 288 or 384), which this engine does not know: use wav2lip_gan.pth from the Wav2Lip project.', "“{name}”是更大画面（256、288 或 384）的 Wav2Lip，本引擎不支持：请使用 Wav2Lip 项目的 wav2lip_gan.pth。"),
    "weights_sync_expert": ('"{name}" is Wav2Lip\'s sync expert, used in its training only: use wav2lip_gan.pth from the same project.', "“{name}”是 Wav2Lip 训练用的同步判别网络：请使用同一项目的 wav2lip_gan.pth。"),
    "weights_discriminator": ('"{name}" is Wav2Lip\'s discriminator, used in its training only: use wav2lip_gan.pth from the same project.', "“{name}”是 Wav2Lip 训练用的画质判别器：请使用同一项目的 wav2lip_gan.pth。"),
    "weights_face_detector": ('"{name}" is a face detector: the engine needs wav2lip_gan.pth from the Wav2Lip project.', "“{name}”是人脸检测器：引擎需要 Wav2Lip 项目的 wav2lip_gan.pth。"),
    "weights_other": ('"{name}" holds the weights of another network: the engine needs wav2lip_gan.pth from the Wav2Lip project.', "“{name}”是其他网络的权重：引擎需要 Wav2Lip 项目的 wav2lip_gan.pth。"),
    "engine_memory": ("This server has too little memory for the chosen engine. Tell the administrator.", "服务器内存不足，无法运行所选引擎，请告诉管理员。"),
    "command_missing": ('The program of the engine "{name}" is not on this server ({path}). Tell the administrator.', "此服务器没有引擎“{name}”的程序（{path}），请告诉管理员。"),
    "command_failed": ('The program of the engine "{name}" failed (status {status}). Tell the administrator: its last words are in the log.', "引擎“{name}”的程序失败（状态 {status}）。请告诉管理员：其最后输出在日志中。"),
    "command_timeout": ('The program of the engine "{name}" took longer than {seconds} s and was stopped. Tell the administrator.', "引擎“{name}”的程序超过 {seconds} 秒，已停止，请告诉管理员。"),
    "command_no_output": ('The program of the engine "{name}" left no video where one was expected ({path}). Tell the administrator.', "引擎“{name}”的程序没有在预期位置生成视频（{path}），请告诉管理员。"),
    "command_output": ("The chosen engine's program made a video that cannot be used ({reason}). Tell the administrator.", "所选引擎的程序生成的视频无法使用（{reason}），请告诉管理员。"),
    "plugin_broken": ('The engine "{name}" is installed on this server but cannot be loaded. Tell the administrator.', "引擎“{name}”已安装但无法加载，请告诉管理员。"),
    "worker_killed": ("The renderer crashed on this video ({signal}). The file may be damaged: export it again, or tell the administrator.", "渲染程序在处理此视频时崩溃（{signal}）。文件可能已损坏：请重新导出，或告诉管理员。"),
    "worker_exited": ("The renderer stopped on this video (status {status}). Tell the administrator.", "渲染程序在处理此视频时停止（状态 {status}），请告诉管理员。"),
    "worker_silent": ("The renderer stopped answering. Tell the administrator.", "渲染程序失去响应，请告诉管理员。"),
    "stalled": ("Rendering made no progress for {seconds} s and was stopped.", "渲染 {seconds} 秒没有进展，已停止。"),
    "deadline_exceeded": ("Rendering took longer than {seconds} s and was stopped.", "渲染超过 {seconds} 秒，已停止。"),
    "machine_stopped": ("The service stopped {times} times while working on this video. Tell the administrator.", "处理此视频时服务已中断 {times} 次，请告诉管理员。"),
    "output_invalid": ("The finished video did not pass the final check. Tell the administrator.", "成品视频未通过最终检查，请告诉管理员。"),
    "out_of_sync": ("Lips and voice came out {offset_ms} ms apart, so the video was not delivered.", "口型与声音相差 {offset_ms} 毫秒，因此未交付该视频。"),
    "ffmpeg_stalled": ("Reading or writing the video made no progress for {seconds} s and was stopped.", "读写视频 {seconds} 秒没有进展，已停止。"),
    "ffmpeg_timeout": ("Reading or writing the video took longer than {seconds} s and was stopped.", "读写视频超过 {seconds} 秒，已停止。"),
    "job_unknown": ('There is no job "{name}" in {places}.', "{places} 中没有任务“{name}”。"),
    # infrastructure
    "share_missing": ("The share is not there. Waiting for it; nothing is lost.", "共享目录不可用，正在等待，不会丢失任何内容。"),
    "share_unavailable": ("The share does not answer. Waiting for it; nothing is lost.", "共享目录没有响应，正在等待，不会丢失任何内容。"),
    "share_full": ("The share is full. Make room; work goes on by itself.", "共享目录已满。请腾出空间，之后会自动继续。"),
    "share_low": ("The share has only {free_gib} GiB free. Make room; work goes on by itself.", "共享目录仅剩 {free_gib} GiB。请腾出空间，之后会自动继续。"),
    "scratch_full": ("The server's disk is full. Tell the administrator; work goes on by itself.", "服务器磁盘已满，请告诉管理员，之后会自动继续。"),
    "scratch_low": ("The server's disk has only {free_gib} GiB free. Tell the administrator.", "服务器磁盘仅剩 {free_gib} GiB，请告诉管理员。"),
    "state_low": ("The server's system disk is nearly full. Tell the administrator.", "服务器系统磁盘将满，请告诉管理员。"),
    "copy_differs": ("A copy came out different from the file. Trying again.", "复制结果与原文件不一致，正在重试。"),
    "ffmpeg_missing": ("ffmpeg is not installed on the server. Tell the administrator.", "服务器未安装 ffmpeg，请告诉管理员。"),
    "gpu_unavailable": ("The graphics card does not answer. Tell the administrator.", "显卡没有响应，请告诉管理员。"),
    # what became of it
    "is_done": ("Done.", "已完成。"),
    "is_waiting": ("Waiting.", "等待中。"),
    "offset": ("lips {offset_ms} ms", "口型偏差 {offset_ms} 毫秒"),
    "try_again": ("To try again: put things right, then move the whole folder back into inbox.", "重试方法：改正后，把整个文件夹移回 inbox。"),
    # findings: done, but worth telling
    "no_face_ranges": ("No face at {ranges}: the picture was left as it is there.", "{ranges} 处没有人脸，该处画面保持原样。"),
    "several_faces": ("Several people are visible ({count}): the largest, steadiest face speaks.", "画面中有多人（{count}）：以最大、最稳定的人脸为准。"),
    "face_turned": ("The face is turned far away at {ranges}: the effect fades there.", "{ranges} 处面部侧转较大，该处效果减弱。"),
    "face_covered": (
        "Something (a hand, say) is before the face at {ranges}: the picture stays as it was there.",
        "{ranges} 处面部被遮挡（例如手），该处保持原画面。",
    ),
    "below_720p": ("The picture is small ({width}x{height}); 720p or more looks better.", "画面较小（{width}x{height}），720p 以上效果更好。"),
    "audio_silent": ("The voice recording is silent.", "录音没有声音。"),
    "audio_quiet": ("The voice recording is very quiet.", "录音音量很低。"),
    "audio_clipped": ("The voice recording is distorted (too loud).", "录音失真（音量过大）。"),
    "audio_noisy": ("The voice recording is very noisy; lips may be less exact.", "录音噪声很大，口型可能不够准确。"),
    "voice_longer": ("The voice is longer than the video.", "录音比视频长。"),
    "voice_shorter": ("The voice is shorter than the video.", "录音比视频短。"),
    "video_damaged": ("Part of the video is damaged; what could be read was used.", "视频部分损坏，已使用可读取的部分。"),
    "hdr_not_tone_mapped": ("The HDR colours could not be converted on this server; they may look pale.", "此服务器无法转换 HDR 色彩，颜色可能偏淡。"),
    "audio_damaged": ("Part of the voice recording is damaged; what could be read was used.", "录音部分损坏，已使用可读取的部分。"),
    "hdr_tone_mapped": ("HDR colours were converted to normal ones.", "HDR 色彩已转换为标准色彩。"),
}  # fmt: skip
WORDS |= dict.fromkeys(
    [
        "asset_damaged",
        "asset_missing",
        "decode_changed",
        "encode_failed",
        "engine_broken",
        "engine_unknown",
        "ffmpeg_cpu_limit",
        "ffmpeg_crashed",
        "ffmpeg_memory",
        "frames_missing",
        "scratch_copy_broken",
        "tracker_unknown",
    ],
    WORDS["engine_error"],  # staff need not tell these apart; the log does
)
LANGUAGES = ("en", "zh")


def text(code: str, fields: Mapping[str, Any], language: str = "en") -> str:
    """Return the words for a code in a language; an unknown code or missing fact still says something."""
    words = WORDS.get(code)
    if words is None:
        return f"{code} ({', '.join(f'{k}: {_show(v)}' for k, v in fields.items())})" if fields else code
    template = words[LANGUAGES.index(language)]
    wanted = {name for _, name, _, _ in Formatter().parse(template) if name}
    return template.format(**{name: _show(fields.get(name, "?")) for name in wanted})


def note(code: str, fields: Mapping[str, Any], languages: Sequence[str]) -> bytes:
    """Return a short text file for a folder: the words in each language, readable in Windows' Notepad."""
    return lines([text(code, fields, language) for language in languages])


def lines(paragraphs: Sequence[str]) -> bytes:
    """Return paragraphs as a text file with a byte-order mark and CRLF, which every staff computer reads."""
    return ("\ufeff" + "\r\n\r\n".join(paragraphs) + "\r\n").encode("utf-8", "replace")


def _show(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_span(v) for v in value[:8]) + (" …" if len(value) > 8 else "")
    return f"{value:g}" if isinstance(value, float) else printable(str(value))


def _span(value: object) -> str:
    """A pair of numbers is a stretch of time in seconds."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return "–".join(f"{int(s) // 60}:{int(s) % 60:02d}" for s in value)
    return printable(str(value))
