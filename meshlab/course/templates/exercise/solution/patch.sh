kubectl patch configmap greeting -n {{ns.app}} --type merge -p '{"data": {"word": "{{word}}"}}'
