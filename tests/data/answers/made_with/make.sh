#!/bin/sh
# Asks the demonstration's model on http://localhost:8137; see ../README.md.
set -eu
cd "$(dirname "$0")"
plain=$(cat ../../../../prompts/system/control.txt)
careful=$(cat ../../../../prompts/system/treatment.txt)
export LOCAL_API_KEY=none LOCAL_BASE_URL=http://localhost:8137/v1 HF_HUB_OFFLINE=1
export PROMPTFOO_DISABLE_TELEMETRY=1 PROMPTFOO_DISABLE_UPDATE=1
made=$(mktemp -d)

printf 'system: "%s"\n' "$careful" > "$made/careful.yaml"
ask() {  # in a format of logs
    inspect eval inspect_task.py --task-config "$made/careful.yaml" \
        --model openai-api/local/demo --temperature 0 --max-tokens 4 \
        --log-format "$1" --epochs "$2" --log-dir "$made/$1" --display plain
    cp "$made/$1"/*."$1" "../inspect.$1"
}
ask eval 2
ask json 1

for name in plain careful; do
    eval "system=\$$name"
    lm_eval run --model local-chat-completions \
        --model_args model=demo,base_url=http://localhost:8137/v1/chat/completions \
        --tasks capitals --include_path . --apply_chat_template --system_instruction "$system" \
        --log_samples --output_path "$made/lm_eval_$name"
    cp "$made/lm_eval_$name"/demo/samples_*.jsonl "../lm_eval_$name.jsonl"
done

promptfoo eval --config promptfoo.yaml --no-cache --no-table --no-progress-bar \
    --output ../promptfoo.json || test $? -eq 100  # tests failed
rm -r "$made"
