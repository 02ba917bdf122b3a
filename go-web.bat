@echo off
rem Installs what is missing into .venv, then opens the page. Arguments go to infer-web.py.
chcp 65001 >nul
cd /d "%~dp0"
set PYTHON=
for %%P in ("py -3" "python" "python3") do (
  if not defined PYTHON %%~P -c "import sys; sys.exit(sys.version_info < (3, 10))" >nul 2>nul && set PYTHON=%%~P
)
if not defined PYTHON (
  echo Python 3.10 or newer is needed and was not found. Get it from https://www.python.org/downloads/
  pause
  exit /b 1
)
%PYTHON% -m tools.cmd.install || (pause & exit /b 1)
.venv\Scripts\python.exe infer-web.py %* || pause
