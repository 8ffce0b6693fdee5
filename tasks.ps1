# The verbs of the Makefile, for Windows PowerShell: .\tasks.ps1 report
param([Parameter(Position = 0)][ValidateSet("report", "plan", "test", "check-config")][string]$Verb = "report")
$ErrorActionPreference = "Stop"
$Bin = ".venv\Scripts"

function Invoke-Checked([string]$Command, [string[]]$Arguments) {
    & $Command @Arguments
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

function Install-Environment {
    if (Test-Path ".venv\ready") { return }
    Invoke-Checked "py" @("-3", "-m", "venv", ".venv")
    # llama-cpp-python is compiled: it needs the "Desktop development with C++" workload of
    # Visual Studio Build Tools. docs/windows.md tells how to use a ready-made wheel instead.
    Invoke-Checked "$Bin\python.exe" @("-m", "pip", "install", "--requirement", "requirements.txt")
    Invoke-Checked "$Bin\python.exe" @("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--editable", ".")
    New-Item -ItemType File ".venv\ready" | Out-Null
}

Install-Environment
switch ($Verb) {
    "report" { Invoke-Checked "$Bin\snakemake.exe" @("--cores", "8", "--resources", "gpu=1", "results/report.html") }
    "plan" { Invoke-Checked "$Bin\snakemake.exe" @("-n") }
    "check-config" { Invoke-Checked "$Bin\python.exe" @("-m", "workflow_scripts.config.check", "config") }
    "test" {
        Invoke-Checked "$Bin\python.exe" @("-m", "pip", "install", "--requirement", "envs/test.txt")
        Invoke-Checked "$Bin\ruff.exe" @("check")
        Invoke-Checked "$Bin\snakefmt.exe" @("--check", "Snakefile", "rules")
        Invoke-Checked "$Bin\snakemake.exe" @("--lint")
        Invoke-Checked "$Bin\python.exe" @("-m", "pytest")
    }
}
