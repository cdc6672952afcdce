"""Text from another server of OpenAI's form: vLLM, SGLang, llama.cpp, or any; started here or running elsewhere."""
