# The verbs of the Makefile, for Windows PowerShell: .\tasks.ps1 report
param(
    [Parameter(Position = 0)]
    [ValidateSet("report", "dry-run", "verify", "jobs", "label", "gate", "check-config", "check", "test", "lint", "rulegraph", "requirements", "llama-cpp", "demo-model", "clean")]
    [string]$Verb = "report",
    # What llama-cpp compiles for.
    [ValidateSet("cpu", "cuda", "vulkan")]
    [string]$Gpu = "cpu"
)
$ErrorActionPreference = "Stop"
Set-Location $PSScriptRoot
$Bin = ".venv\Scripts"

function Invoke-Checked([string]$Command, [string[]]$Arguments) {
    & $Command @Arguments
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

function Invoke-Python([string[]]$Arguments) {
    Invoke-Checked "$Bin\python.exe" $Arguments
}

function Test-IsOlder([string]$Stamp, [string[]]$Files) {
    if (-not (Test-Path $Stamp)) { return $true }
    $Made = (Get-Item $Stamp).LastWriteTime
    return [bool]($Files | Where-Object { (Get-Item $_).LastWriteTime -gt $Made })
}

function Install-Environment {
    if (-not (Test-IsOlder ".venv\ready" @("requirements.txt", "pyproject.toml"))) { return }
    Invoke-Checked "py" @("-3", "-c", "import sys; assert sys.version_info >= (3, 11), 'Assay needs Python 3.11 or newer'")
    Invoke-Checked "py" @("-3", "-m", "venv", ".venv")
    Invoke-Python @("-m", "pip", "install", "--requirement", "requirements.txt")
    Invoke-Python @("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--editable", ".")
    New-Item -ItemType File -Force ".venv\ready" | Out-Null
}

function Install-LlamaCpp {
    # Compiled by Visual Studio; docs/backends.md says what that needs.
    $env:CMAKE_ARGS = @{ cpu = "-DGGML_NATIVE=on"; cuda = "-DGGML_CUDA=on"; vulkan = "-DGGML_VULKAN=on" }[$Gpu]
    Invoke-Python @("-m", "pip", "install", "--force-reinstall", "--no-deps", "--no-cache-dir", "--requirement", "envs\llama-cpp.txt")
}

function Install-TestTools {
    if (-not (Test-IsOlder ".venv\ready-for-tests" @(".venv\ready", "envs\test.txt"))) { return }
    Invoke-Python @("-m", "pip", "install", "--requirement", "envs\test.txt")
    New-Item -ItemType File -Force ".venv\ready-for-tests" | Out-Null
}

function Invoke-Lint {
    Install-TestTools
    Invoke-Checked "$Bin\ruff.exe" @("check")
    Invoke-Checked "$Bin\ruff.exe" @("format", "--check")
    Invoke-Checked "$Bin\snakefmt.exe" @("--check", "Snakefile", "rules")
    Invoke-Python @("-m", "workflow_scripts.config.check", "config")
    Invoke-Checked "$Bin\mypy.exe" @()
}

if ($Verb -eq "clean") {
    foreach ($Folder in ".venv", ".snakemake", "results") {
        if (Test-Path $Folder) { Remove-Item -Recurse -Force $Folder }
    }
    exit 0
}

Install-Environment
switch ($Verb) {
    "report" {
        Invoke-Checked "$Bin\snakemake.exe" @("--cores", "8", "--resources", "gpu=1", "results/report.html")
        Write-Host "Open $PWD\results\report.html"
    }
    "dry-run" { Invoke-Checked "$Bin\snakemake.exe" @("-n") }
    "verify" { Invoke-Python @("-m", "workflow_scripts.verify.results", "--results", "results") }
    "jobs" { Invoke-Checked "$Bin\snakemake.exe" @("jobs") }
    "label" { Invoke-Checked "$Bin\snakemake.exe" @("--cores", "8", "--resources", "gpu=1", "label") }
    "gate" { Invoke-Checked "$Bin\snakemake.exe" @("--cores", "8", "--resources", "gpu=1", "gate") }
    "check-config" { Invoke-Python @("-m", "workflow_scripts.config.check", "config") }
    "lint" { Invoke-Lint }
    "check" {
        Invoke-Lint
        Invoke-Python @("-m", "pytest", "-n", "2", "-m", "not program and not workflow and not slow")
    }
    "test" {
        Invoke-Lint
        # These tests need Chrome with its chromedriver, Firefox, MiKTeX and LibreOffice on the PATH.
        Invoke-Python @("-m", "pytest", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")
    }
    "rulegraph" {
        Invoke-Checked "cmd.exe" @("/c", "$Bin\snakemake.exe --rulegraph results/report.html | dot -Tsvg > docs\rulegraph.svg")
    }
    "requirements" {
        Install-TestTools
        $Compile = @("pip", "compile", "--quiet", "--universal", "--upgrade", "--no-header", "--no-annotate", "--no-emit-index-url")
        Invoke-Python @("-m", "pip", "install", "uv")
        Invoke-Checked "$Bin\uv.exe" ($Compile + @("pyproject.toml", "--output-file", "requirements.txt"))
        Invoke-Checked "$Bin\uv.exe" ($Compile + @("--extra", "test", "--constraint", "requirements.txt", "pyproject.toml", "--output-file", "envs\test.txt"))
    }
    "llama-cpp" { Install-LlamaCpp }
    "demo-model" {
        Invoke-Python @("-m", "pip", "install", "--requirement", "envs\demo-model.txt")
        Invoke-Python @("-m", "tools.demo_model.items", "--out-dir", "resources/demo")
        Invoke-Python @("-m", "tools.demo_model.train", "--out", "results/demo-model/model.pt")
        Invoke-Python @("-m", "tools.demo_model.export", "--checkpoint", "results/demo-model/model.pt", "--out", "resources/models/assay-demo.gguf")
        Invoke-Python @("-m", "tools.demo_model.evaluate", "--model", "resources/models/assay-demo.gguf")
        Invoke-Python @("-m", "tools.demo_model.agreement", "--model", "resources/models/assay-demo.gguf")
    }
}
