# The verbs of the Makefile, for Windows PowerShell 5.1 and PowerShell 7.
#
#   .\tasks.ps1 -List              all verbs, each in a line
#   .\tasks.ps1 report             run one
#   .\tasks.ps1 report -WhatIf     show its commands, run none
#   powershell -ExecutionPolicy Bypass -File tasks.ps1 bootstrap
param(
    [Parameter(Position = 0)]
    [ValidateSet(
        'report', 'help', 'bootstrap', 'doctor', 'plan', 'smoke', 'data', 'build', 'eval', 'parse',
        'score', 'stats', 'dry-run', 'dag', 'verify', 'jobs', 'label', 'gate', 'check-config',
        'check', 'test', 'lint', 'rulegraph', 'requirements', 'llama-cpp', 'demo-model', 'clean'
    )]
    [string]$Verb = 'report',
    [switch]$List,
    [switch]$WhatIf,
    # Set up .venv from the start.
    [switch]$Recreate,
    # What llama-cpp compiles for.
    [ValidateSet('cpu', 'cuda', 'metal', 'vulkan')]
    [string]$Gpu = 'cpu'
)
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false
$Bin = '.venv\Scripts'

# The commands of each verb; "verb NAME" runs those of another one. Words are separated by spaces,
# and double quotes keep some together. The texts of -List are those of the Makefile.
$Commands = @{
    'report' = 'snakemake --cores 8 --resources gpu=1 results/report.html'
    'help' = @()
    'bootstrap' = @()
    'doctor' = 'python -m workflow_scripts.doctor'
    'plan' = 'snakemake plan'
    'smoke' = 'snakemake --cores 8 --resources gpu=1 --config experiment=smoke limit_items=10 results/smoke/report.html'
    'data' = 'snakemake --cores 8 --resources gpu=1 stage_data'
    'build' = 'snakemake --cores 8 --resources gpu=1 stage_build'
    'eval' = 'snakemake --cores 8 --resources gpu=1 stage_eval'
    'parse' = 'snakemake --cores 8 --resources gpu=1 stage_parse'
    'score' = 'snakemake --cores 8 --resources gpu=1 stage_score'
    'stats' = 'snakemake --cores 8 --resources gpu=1 stage_stats'
    'dry-run' = 'snakemake -n'
    'dag' = 'snakemake --dag results/report.html > dag.dot'
    'verify' = 'python -m workflow_scripts.verify.results --results results'
    'jobs' = 'snakemake jobs'
    'label' = 'snakemake --cores 8 --resources gpu=1 label'
    'gate' = 'snakemake --cores 8 --resources gpu=1 gate'
    'check-config' = 'python -m workflow_scripts.config.check config'
    'lint' = @(
        'ruff check'
        'ruff format --check'
        'snakefmt --check Snakefile rules'
        'python -m workflow_scripts.config.check config'
        'mypy'
    )
    'check' = @(
        'verb lint'
        'python -m pytest -n 2 -m "not program and not workflow and not slow"'
    )
    # Its tests need Chrome with chromedriver, Firefox, MiKTeX and LibreOffice on the PATH.
    'test' = @(
        'verb lint'
        'python -m pytest -n 3 --dist loadfile --no-loadscope-reorder'
    )
    'rulegraph' = 'snakemake --rulegraph results/report.html | dot -Tsvg > docs\rulegraph.svg'
    'requirements' = @(
        'python -m pip install uv'
        'uv pip compile --quiet --universal --upgrade --no-header --no-annotate --no-emit-index-url pyproject.toml --output-file requirements.txt'
        'uv pip compile --quiet --universal --upgrade --no-header --no-annotate --no-emit-index-url --extra test --constraint requirements.txt pyproject.toml --output-file envs/test.txt'
        'uv pip compile --quiet --universal --no-deps --no-header --no-annotate --no-emit-index-url --group llama-cpp --constraint envs/test.txt --output-file envs/llama-cpp.txt'
        'uv pip compile --quiet --universal --no-deps --no-header --no-annotate --no-emit-index-url --group nli --constraint envs/test.txt --output-file envs/nli.txt'
        'uv pip compile --quiet --universal --no-deps --no-header --no-annotate --no-emit-index-url --group rag --constraint envs/test.txt --output-file envs/rag.txt'
    )
    'llama-cpp' = 'python -m pip install --force-reinstall --no-deps --no-cache-dir --requirement envs/llama-cpp.txt'
    'demo-model' = @(
        'python -m pip install --requirement envs/demo-model.txt --requirement envs/rag.txt'
        'python -m tools.demo_model.questions.items --out-dir resources/demo'
        'python -m tools.demo_model.structured.items --out-dir resources/demo'
        'python -m tools.demo_model.cited.items --out-dir resources/demo'
        'python -m tools.demo_model.train assay-demo --out results/demo-model/questions.pt'
        'python -m tools.demo_model.export --checkpoint results/demo-model/questions.pt --out resources/models/assay-demo.gguf'
        'python -m tools.demo_model.questions.evaluate --model resources/models/assay-demo.gguf'
        'python -m tools.demo_model.agreement --model resources/models/assay-demo.gguf'
        'python -m tools.demo_model.train assay-structured --out results/demo-model/structured.pt --steps 1200 --curriculum-steps 300 --batch 8 --length 320 --threads 1'
        'python -m tools.demo_model.export --checkpoint results/demo-model/structured.pt --out resources/models/assay-structured.gguf'
        'python -m tools.demo_model.train assay-cited --out results/demo-model/cited.pt --begin-with resources/models/assay-demo.gguf --layers 5 --full-precision --threads 1 --steps 1000 --curriculum-steps 400 --batch 8 --length 480'
        'python -m tools.demo_model.export --checkpoint results/demo-model/cited.pt --out resources/models/assay-cited.gguf'
        'python -m tools.demo_model.encoder.train --out results/demo-model/encoder.pt'
        'python -m tools.demo_model.export --checkpoint results/demo-model/encoder.pt --out resources/models/assay-encoder.gguf'
        'python -m tools.demo_model.encoder.evaluate --model resources/models/assay-encoder.gguf'
    )
    'clean' = @()
}
$CmakeArgs = @{
    'cpu' = '-DGGML_NATIVE=on'
    'cuda' = '-DGGML_CUDA=on'
    'metal' = '-DGGML_METAL=on'
    'vulkan' = '-DGGML_VULKAN=on'
}
$WithoutSetUp = @('help', 'doctor', 'clean')
$WithTestTools = @('check', 'test', 'lint', 'requirements')

function Stop-WithMessage([string]$Message) {
    [Console]::Error.WriteLine("error: $Message")
    exit 1
}

function Split-Words([string]$Line) {
    foreach ($Match in [regex]::Matches($Line, '"[^"]*"|\S+')) { $Match.Value.Trim('"') }
}

function Get-Lines([string]$Name) {
    foreach ($Line in $Commands[$Name]) {
        if ($Line -like 'verb *') { Get-Lines $Line.Substring(5) } else { $Line }
    }
}

# A Python that is new enough, as the words of its command: the launcher's newest one, or that on
# the PATH. The Microsoft Store's placeholder is on the PATH, too; it ends with an error.
function Find-Python {
    foreach ($Candidate in 'py -3', 'python', 'python3') {
        $Words = @(Split-Words $Candidate)
        if (-not (Get-Command $Words[0] -ErrorAction SilentlyContinue)) { continue }
        $Arguments = @($Words | Select-Object -Skip 1)
        & $Words[0] @Arguments -c 'import sys; sys.exit(sys.version_info < (3, 11))' | Out-Null
        if ($LASTEXITCODE -eq 0) { return $Words }
    }
    Stop-WithMessage ('Assay needs Python 3.11 or newer. Install it with "winget install Python.Python.3.13", ' +
        'or from https://www.python.org/downloads/, open a new terminal and start again.')
}

function Invoke-Words([string[]]$Words) {
    $Arguments = @($Words | Select-Object -Skip 1)
    & $Words[0] @Arguments
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

function Invoke-Line([string]$Line) {
    if ($Line -match '[|>]') {
        # By cmd.exe: Windows PowerShell would write another encoding.
        Invoke-Words @('cmd.exe', '/d', '/c', "$Bin\$Line")
        return
    }
    $Words = @(Split-Words $Line)
    if ($Words[0] -eq 'python' -and -not (Test-Path "$Bin\python.exe")) {
        $Words = @(Find-Python) + @($Words | Select-Object -Skip 1)
    } else {
        $Words[0] = "$Bin\$($Words[0]).exe"
    }
    Invoke-Words $Words
}

function Test-IsOlder([string]$Stamp, [string[]]$Files) {
    if (-not (Test-Path $Stamp)) { return $true }
    $Made = (Get-Item $Stamp).LastWriteTime
    return [bool]($Files | Where-Object { (Get-Item $_).LastWriteTime -gt $Made })
}

function Install-Environment {
    if (-not (Test-IsOlder '.venv\ready' @('requirements.txt', 'pyproject.toml'))) { return }
    Invoke-Words (@(Find-Python) + @('-m', 'venv', '.venv'))
    Invoke-Line 'python -m pip install --quiet --disable-pip-version-check uv'
    # uv takes a third of pip's time. It does not know the mirrors that pip is set up for.
    & "$Bin\uv.exe" pip install --quiet --system-certs --python "$Bin\python.exe" --requirement requirements.txt
    if ($LASTEXITCODE -ne 0) {
        Invoke-Line 'python -m pip install --disable-pip-version-check --requirement requirements.txt'
    }
    Invoke-Line 'python -m pip install --quiet --no-deps --no-build-isolation --editable .'
    New-Item -ItemType File -Force '.venv\ready' | Out-Null
}

function Install-TestTools {
    if (-not (Test-IsOlder '.venv\ready-for-tests' @('.venv\ready', 'envs\test.txt'))) { return }
    Invoke-Line 'python -m pip install --quiet --disable-pip-version-check --requirement envs/test.txt'
    New-Item -ItemType File -Force '.venv\ready-for-tests' | Out-Null
}

function Remove-Folders([string[]]$Folders) {
    foreach ($Folder in $Folders) {
        if (-not (Test-Path $Folder)) { continue }
        try { Remove-Item -Recurse -Force $Folder }
        catch { Stop-WithMessage "$Folder cannot be deleted; close all programs that use it ($_)" }
    }
}

function Show-Verbs {
    Get-Content -Encoding UTF8 Makefile | Where-Object { $_ -like '## *' } |
        ForEach-Object { $_.Substring(3) }
}

Push-Location $PSScriptRoot
try {
    if ($List -or $Verb -eq 'help') { Show-Verbs; exit 0 }
    if ($WhatIf) { Get-Lines $Verb; exit 0 }
    if ($Verb -eq 'llama-cpp') { $env:CMAKE_ARGS = $CmakeArgs[$Gpu] }
    if ($Recreate) { Remove-Folders '.venv' }
    if ($Verb -eq 'clean') { Remove-Folders '.venv', '.snakemake' }
    if ($WithoutSetUp -notcontains $Verb) { Install-Environment }
    if ($WithTestTools -contains $Verb) { Install-TestTools }
    foreach ($Line in @(Get-Lines $Verb)) { Invoke-Line $Line }
} finally {
    Pop-Location
}
